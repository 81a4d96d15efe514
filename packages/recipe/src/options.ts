import { LapidaryError, suggest } from "@lapidary/std";

/** An option of a recipe, as its module declares it. */
export type OptionSpec<T = unknown> = OptionRange<T> & {
  readonly kind: "number" | "integer" | "boolean" | "text" | "choice";
  readonly describe: string;
  /** Without a default, the job must set the option. */
  readonly default?: T;
};

interface OptionRange<T> {
  readonly min?: number;
  readonly max?: number;
  /** Of a choice. */
  readonly values?: readonly T[];
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** The values of options, by name. */
export type OptionValues<O extends OptionSpecs> = { readonly [Name in keyof O]: O[Name] extends OptionSpec<infer T> ? T : never };

interface NumberSettings {
  readonly describe: string;
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
}

/** The kinds of options. */
export const option = {
  number: (settings: NumberSettings): OptionSpec<number> => ({ ...settings, kind: "number" }),
  integer: (settings: NumberSettings): OptionSpec<number> => ({ ...settings, kind: "integer" }),
  boolean: (settings: { readonly describe: string; readonly default?: boolean }): OptionSpec<boolean> => ({ ...settings, kind: "boolean" }),
  text: (settings: { readonly describe: string; readonly default?: string }): OptionSpec<string> => ({ ...settings, kind: "text" }),
  choice: <T extends string>(
    values: readonly T[],
    settings: { readonly describe: string; readonly default?: NoInfer<T> },
  ): OptionSpec<T> => ({ ...settings, kind: "choice", values }),
};

/**
 * The values of the options of a job, with the defaults of the recipe.
 *
 * @throws LAP_RECIPE_OPTION naming the key below `options`
 */
export function parseOptions(specs: OptionSpecs, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = Object.keys(specs);
  for (const name of Object.keys(given))
    if (!names.includes(name)) {
      const near = suggest(name, names);
      const known = names.length === 0 ? "the recipe has no options" : `options of the recipe are ${names.join(", ")}`;
      throw badOption(name, `the recipe has no option "${name}"`, near === undefined ? known : `did you mean "${near}"?`);
    }
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, parseOption(name, spec, given[name])]));
}

function parseOption(name: string, spec: OptionSpec, given: unknown): unknown {
  const value = given ?? spec.default;
  if (value === undefined) throw badOption(name, `the option ${name} is missing`, `add options.${name}: ${spec.describe}`);
  const expected = mismatch(spec, value);
  if (expected !== undefined)
    throw badOption(name, `${name} is ${JSON.stringify(value)}: expected ${expected}`, `${name}: ${spec.describe}`);
  return value;
}

/** What the value should have been; undefined if it fits. */
function mismatch({ kind, min = -Infinity, max = Infinity, values = [] }: OptionSpec, value: unknown): string | undefined {
  switch (kind) {
    case "boolean":
      return typeof value === "boolean" ? undefined : "true or false";
    case "text":
      return typeof value === "string" ? undefined : "a text";
    case "choice":
      return values.includes(value) ? undefined : `one of ${values.join(", ")}`;
    default: {
      if (typeof value !== "number" || !Number.isFinite(value)) return "a finite number";
      if (kind === "integer" && !Number.isInteger(value)) return "a whole number";
      if (value < min) return `at least ${min}`;
      return value > max ? `at most ${max}` : undefined;
    }
  }
}

const badOption = (name: string, message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_RECIPE_OPTION", message, location: `options.${name}`, remedy });
