import { f32Max, LapidaryError, suggest } from "@lapidary/std";
import type { z } from "zod";
import { foreignKeyRemedy } from "./foreign-keys.js";
import { dottedPaths, keysAt } from "./schema-paths.js";
import { type Path, valueAt, type ConfigSource } from "./config-source.js";

/**
 * Parses the value of a source with its schema.
 *
 * @throws LapidaryError for the first mistake, with its location: an unknown key (and the nearest known key), a wrong type, a value out of range
 */
export function validate<T>(schema: z.ZodType<T>, source: ConfigSource): T {
  const result = schema.safeParse(source.value);
  if (result.success) return result.data;
  const issue = result.error.issues.map((found) => innermost(found, source.value)).sort(byImportance)[0];
  throw issue === undefined ? new Error("a schema failed without an issue") : errorOf(schema, source, issue);
}

type Issue = z.core.$ZodIssue;

/** An unknown key comes first, because it often explains a missing key. */
const byImportance = (a: Issue, b: Issue): number => Number(b.code === "unrecognized_keys") - Number(a.code === "unrecognized_keys");

/** The issue of a union's alternative that has the type of the value. */
function innermost(issue: Issue, root: unknown): Issue {
  if (issue.code !== "invalid_union") return issue;
  const branches = issue.errors.filter((issues) => !issues.some((inner) => inner.code === "invalid_type" && inner.path.length === 0));
  const [inner] = branches[0] ?? [];
  return inner === undefined ? issue : innermost({ ...inner, path: [...issue.path, ...inner.path] } as Issue, root);
}

function errorOf(schema: z.core.$ZodType, source: ConfigSource, issue: Issue): LapidaryError {
  if (issue.code === "unrecognized_keys") return unknownKey(schema, source, [...issue.path, issue.keys[0] ?? ""]);
  const given = valueAt(source.value, issue.path);
  const name = issue.path.map(String).join(".");
  if (given === undefined && issue.code !== "custom") return missingKey(source, issue.path, name);
  return new LapidaryError({
    code: "LAP_CONFIG_VALUE",
    message: `${name} is ${show(given)}: ${explain(issue, given)}`,
    location: source.locationOf(issue.path),
    remedy: `set ${name} to a valid value; \`lapidary config schema\` describes every key`,
  });
}

function unknownKey(schema: z.core.$ZodType, source: ConfigSource, path: Path): LapidaryError {
  const key = String(path.at(-1));
  const parent = path.slice(0, -1);
  const siblings = keysAt(schema, parent);
  const near = suggest(key, siblings);
  const elsewhere = dottedPaths(schema).find((dotted) => dotted.split(".").at(-1) === key);
  const prefix = parent.length === 0 ? "" : `${parent.map(String).join(".")}.`;
  const foreign = foreignKeyRemedy(key, valueAt(source.value, path), dottedPaths(schema));
  const remedy = siblings.includes(key)
    ? `the other keys do not allow it: remove it, or override it with ${prefix}${key}=null`
    : foreign !== undefined
      ? foreign
      : elsewhere !== undefined
        ? `did you mean "${elsewhere}"?`
        : near !== undefined
          ? `did you mean "${prefix}${near}"?`
          : siblings.length > 0
            ? `known keys are ${siblings.join(", ")}`
            : "remove it";
  return new LapidaryError({
    code: "LAP_CONFIG_UNKNOWN_KEY",
    message: `unknown key "${prefix}${key}"`,
    location: source.locationOf(path),
    remedy,
  });
}

const missingKey = (source: ConfigSource, path: Path, name: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CONFIG_MISSING_KEY",
    message: `the key ${name} is missing`,
    location: source.locationOf(path),
    remedy: `add ${name}; \`lapidary config schema\` describes every key`,
  });

function explain(issue: Issue, given: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      if (typeof given === "number" && !Number.isFinite(given)) return "expected a finite number";
      return `expected ${issue.expected === "int" ? "a whole number" : issue.expected}`;
    case "invalid_value":
      return `expected ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "invalid_union":
      return "options" in issue && Array.isArray(issue.options)
        ? `expected one of ${issue.options.map(String).join(", ")}`
        : `expected ${alternatives(issue.errors)}`;
    case "too_small":
      return `must be ${issue.inclusive === true ? "at least" : "more than"} ${issue.minimum}`;
    case "too_big":
      return `must be ${issue.inclusive === true ? "at most" : "less than"} ${issue.maximum}${issue.maximum === f32Max ? ", the largest number of f32" : ""}`;
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    default:
      return issue.message;
  }
}

const alternatives = (branches: readonly (readonly Issue[])[]): string =>
  [...new Set(branches.flatMap((issues) => issues.filter((inner) => inner.code === "invalid_type").map((inner) => inner.expected)))].join(
    " or ",
  );

function show(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value);
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
