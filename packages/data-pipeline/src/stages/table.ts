import { decontaminate } from "./decontaminate.js";
import { dedup } from "./dedup.js";
import { extract } from "./extract.js";
import { measure } from "./measure.js";
import { read } from "./read.js";
import { redact } from "./redact.js";
import { rules } from "./rules.js";
import type { SettingsOf, StageName } from "./settings.js";
import type { Stage } from "./stage.js";
import { tokenize } from "./tokenize.js";

/** Every stage by its name. */
export const stageTable: { readonly [Name in StageName]: Stage<SettingsOf[Name]> } = {
  read,
  extract,
  measure,
  rules,
  dedup,
  decontaminate,
  redact,
  tokenize,
};
