import { z } from "zod";
import type { DecontaminateSettings } from "./decontaminate.js";
import type { DedupSettings } from "./dedup.js";
import type { ExtractSettings } from "./extract.js";
import type { MeasureSettings } from "./measure.js";
import type { ReadSettings } from "./read.js";
import type { RedactSettings } from "./redact.js";
import type { RulesSettings } from "./rules.js";
import type { TokenizeSettings } from "./tokenize.js";

/** The settings of every stage by its name. A stage that `stageTable` lacks does not compile. */
export interface SettingsOf {
  readonly read: ReadSettings;
  readonly extract: ExtractSettings;
  readonly measure: MeasureSettings;
  readonly rules: RulesSettings;
  readonly dedup: DedupSettings;
  readonly decontaminate: DecontaminateSettings;
  readonly redact: RedactSettings;
  readonly tokenize: TokenizeSettings;
}

export type StageName = keyof SettingsOf;

/** The stages of the list `stages`. The stages `read` and `extract` are settings of a source. */
export const listedStages = ["measure", "rules", "dedup", "decontaminate", "redact", "tokenize"] as const;
export type ListedStage = (typeof listedStages)[number];

export const stageName = z.enum(["read", "extract", ...listedStages]);
