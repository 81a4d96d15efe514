import { LapidaryError, type Warning } from "@lapidary/std";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { overridesNamed } from "./base-changes.js";
import { currentPath, replaceRenamedKeys } from "./renamed-keys.js";
import { readsAs, takesNull } from "./schema-paths.js";
import type { ConfigSource } from "./config-source.js";

/**
 * Applies an override such as `train.steps=50` to a source. The schema decides how the text is read: `name=7` is text, `train.steps=7` a number,
 * `mesh={data: 8}` and `mesh=data=8` both a mesh. `key=null` restores the default.
 *
 * @returns warnings for renamed keys
 */
export function applyOverride(schema: z.core.$ZodType, source: ConfigSource, text: string): readonly Warning[] {
  const match = /^([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)=(.*)$/s.exec(text);
  if (match === null) throw overrideError(text, `expected key=value, got "${text}"`);
  const [, dotted = "", given = ""] = match;
  const { path, warnings } = currentPath(dotted.split("."), `override ${text}`);
  const reads = readsAs(schema, path);
  const value =
    reads === "text" || (reads === "either" && !given.trimStart().startsWith("{") && given !== "null") ? given : yamlValue(given, text);
  overridesNamed(source, path);
  source.override(path, value === null && !takesNull(schema, path) ? undefined : value, text);
  return [...warnings, ...replaceRenamedKeys(source)];
}

function yamlValue(given: string, text: string): unknown {
  const document = parseDocument(given, { prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined || given.includes("&") || given.includes("*"))
    throw overrideError(text, `the value of the override is not plain YAML${error === undefined ? "" : `: ${error.message}`}`);
  return document.toJS() as unknown;
}

const overrideError = (text: string, message: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CONFIG_OVERRIDE",
    message,
    location: `override ${text}`,
  });
