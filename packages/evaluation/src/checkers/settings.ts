import { suggest } from "@lapidary/std";
import { z } from "zod";
import { badCheckerSetting } from "../evaluation-errors.js";

/**
 * The settings of a checker in a job file:
 *
 *     checker: exact         column: answer, ignore_case: false       the answer is the text of the column
 *     checker: regex         pattern: … | column: …, flags, match     a regular expression matches
 *     checker: number        column: answer, take, tolerance, …       the number is right
 *     checker: json-schema   schema: … | column: …                    the answer is JSON of a schema
 *     checker: sorted        column: …                                the characters of the prompt, ascending
 *     checker: ./check.mjs                                            a function of the user
 */

const column = z.string().min(1);
const limit_ms = z.number().int().positive().max(600_000).default(5000);
const oneSource = (settings: Readonly<Record<string, unknown>>, key: string): boolean =>
  (settings[key] === undefined) !== (settings["column"] === undefined);

const schemas = {
  exact: z.strictObject({
    checker: z.literal("exact"),
    column: column.default("answer"),
    ignore_case: z.boolean().default(false),
  }),
  regex: z
    .strictObject({
      checker: z.literal("regex"),
      pattern: z.string().optional(),
      column: column.optional(),
      flags: z
        .string()
        .regex(/^[imsuv]*$/, "expected flags among i, m, s, u and v")
        .default("u"),
      match: z.enum(["search", "whole"]).default("search"),
      limit_ms,
    })
    .refine((settings) => oneSource(settings, "pattern"), "expected either `pattern` or `column`"),
  number: z.strictObject({
    checker: z.literal("number"),
    column: column.default("answer"),
    take: z.enum(["last", "whole"]).default("last"),
    tolerance: z.number().min(0).default(0),
    relative_tolerance: z.number().min(0).default(0),
  }),
  "json-schema": z
    .strictObject({ checker: z.literal("json-schema"), schema: z.json().optional(), column: column.optional(), limit_ms })
    .refine((settings) => oneSource(settings, "schema"), "expected either `schema` or `column`"),
  sorted: z.strictObject({ checker: z.literal("sorted"), column: column.optional() }),
} as const;

const moduleSchema = z.strictObject({ checker: z.string(), limit_ms });

type BuiltIn = { [Name in keyof typeof schemas]: z.output<(typeof schemas)[Name]> }[keyof typeof schemas];

/** The settings of a user's module; `path` is absolute, or relative to the directory of the job file. */
interface ModuleSettings {
  readonly checker: "module";
  readonly path: string;
  readonly limit_ms: number;
}

/** Checked settings, with the defaults filled in. */
export type CheckerSettings = BuiltIn | ModuleSettings;

const checkerNames = Object.keys(schemas) as readonly (keyof typeof schemas)[];

const isBuiltIn = (name: string): name is keyof typeof schemas => Object.hasOwn(schemas, name);

/**
 * @param value of a job file: the name of a checker or the path of a module, alone or with further settings
 * @param place of the value, such as `reward.1`
 * @throws LapidaryError LAP_CHECKER_SETTING
 */
export function parseChecker(value: unknown, place: string): CheckerSettings {
  const settings = typeof value === "string" ? { checker: value } : value;
  const named = z.looseObject({ checker: z.string() }).safeParse(settings);
  if (!named.success)
    throw badCheckerSetting(
      place,
      `the checker is ${JSON.stringify(value)}, expected a name or an object with the key checker`,
      "write `{ checker: NAME }`",
    );
  const name = named.data.checker;
  if (isBuiltIn(name)) return valid<BuiltIn>(schemas[name], settings, place);
  if (!/\.m?js$/.test(name)) throw unknownChecker(name, place);
  const { limit_ms } = valid(moduleSchema, settings, place);
  return { checker: "module", path: name, limit_ms };
}

function valid<T>(schema: z.ZodType<T>, settings: unknown, place: string): T {
  const result = schema.safeParse(settings);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = [place, ...(issue?.path ?? [])].join(".");
  throw badCheckerSetting(path, `the settings of the checker are invalid: ${issue?.message ?? ""}`, "correct or remove this key");
}

function unknownChecker(name: string, place: string): Error {
  const near = suggest(name, checkerNames);
  return badCheckerSetting(
    place,
    `there is no checker ${name}`,
    `${near === undefined ? "" : `did you mean ${near}? `}write one of ${checkerNames.join(", ")}, or the path of a .mjs file`,
  );
}
