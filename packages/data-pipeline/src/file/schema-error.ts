import { type LapidaryError, suggest } from "@lapidary/std";
import { z } from "zod";
import { pipelineError, type YamlPath, type YamlText } from "./yaml-text.js";

/** The error for the first mistake that a schema found, with its location and the nearest name that is known. */
export function schemaError(error: z.ZodError, schema: z.ZodType, yaml: YamlText, base: YamlPath = []): LapidaryError {
  const issue = first(error.issues, []);
  if (issue === undefined) return pipelineError("invalid value", yaml.locationOf(base), "correct it");
  const path = [...base, ...issue.path];
  const name = path.map(String).join(".");
  if (issue.issue.code === "unrecognized_keys") {
    const [key = ""] = issue.issue.keys;
    return unknownKey(key, keysAt(schema, issue.path), name, yaml.locationOf([...path, key]));
  }
  if (issue.issue.code === "invalid_value") {
    const values = issue.issue.values.map(String);
    const input = String(issue.issue.input ?? "");
    const remedy = `write ${suggest(input, values) ?? values.join(", ")}`;
    return pipelineError(`${name} has an unknown value${input === "" ? "" : ` ${JSON.stringify(input)}`}`, yaml.locationOf(path), remedy);
  }
  const message = issue.issue.message.replace(/^Invalid input: /, "");
  return pipelineError(`${name}: ${message}`, yaml.locationOf(path), "correct the value; docs/data.md has all keys");
}

/** @param where the mapping that has the key; empty for the whole file */
export function unknownKey(key: string, known: readonly string[], where: string, location: string): LapidaryError {
  const near = suggest(key, known);
  const remedy = near === undefined ? `remove it; the keys are ${known.join(", ")}` : `write ${near}`;
  return pipelineError(`unknown key ${key}${where === "" ? "" : ` in ${where}`}`, location, remedy);
}

interface Located {
  readonly issue: z.core.$ZodIssue;
  readonly path: YamlPath;
}

/** The mistake to report. An unknown key comes before the missing one that it probably means. */
function first(issues: readonly z.core.$ZodIssue[], before: YamlPath): Located | undefined {
  const all = issues.flatMap((issue) => located(issue, before));
  return all.find(({ issue }) => issue.code === "unrecognized_keys") ?? all[0];
}

/** Of a union, the mistakes of the branch that fits furthest. */
function located(issue: z.core.$ZodIssue, before: YamlPath): readonly Located[] {
  const path = [...before, ...issue.path];
  if (issue.code !== "invalid_union") return [{ issue, path }];
  const branches = issue.errors.map((each) => each.flatMap((inner) => located(inner, path)));
  const depth = (branch: readonly Located[]): number =>
    Math.max(
      0,
      ...branch.map(({ issue: { code }, path: at }) => at.length + (at.length === path.length && code === "invalid_type" ? 0 : 0.5)),
    );
  const best = branches.sort((a, b) => depth(b) - depth(a))[0];
  return best === undefined || best.length === 0 ? [{ issue, path }] : best;
}

/** The keys of the mapping at a path of a schema. */
function keysAt(schema: z.core.$ZodType, path: YamlPath): readonly string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return keysAt(schema.unwrap(), path);
  if (schema instanceof z.ZodPipe) return keysAt(schema.in, path);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysAt(option, path));
  const [key, ...rest] = path;
  if (schema instanceof z.ZodObject) {
    if (key === undefined) return Object.keys(schema.shape);
    const inner = (schema.shape as Readonly<Record<string, z.core.$ZodType>>)[String(key)];
    return inner === undefined ? [] : keysAt(inner, rest);
  }
  if (key === undefined) return [];
  if (schema instanceof z.ZodRecord) return keysAt(schema.valueType, rest);
  return schema instanceof z.ZodArray ? keysAt(schema.element, rest) : [];
}
