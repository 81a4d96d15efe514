import { ExitCode, LapidaryError, assert } from "@lapidary/std";
import type { Context } from "../context.js";

/** The kind of an argument or value, for completion. */
export type Completes = "job" | "run" | "file" | "directory" | "none";

export interface ArgumentSpec {
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
  /** Takes all following words. */
  readonly variadic?: boolean;
  readonly choices?: readonly string[];
  readonly completes?: Completes;
}

export interface OptionSpec {
  /** In the form of commander: `-d, --detach`, `--torus <shape>`. */
  readonly flags: string;
  readonly description: string;
  /** How the value is parsed; default: text. */
  readonly value?: "text" | keyof typeof numberFormats;
  readonly choices?: readonly string[];
  readonly completes?: Completes;
  /**
   * How the command uses the file or directory. Required for every option that completes to one. A test tries every kind of unwritable path on each option
   * with `write`.
   */
  readonly access?: "read" | "write";
  /** May appear several times: the value is the list of all. */
  readonly repeatable?: true;
  /** The option is required. */
  readonly mandatory?: boolean;
}

/** Formats of numbers in options. */
export const numberFormats = {
  whole: { pattern: /^\d{1,9}$/, meaning: "a whole number", example: "2" },
  integer: { pattern: /^-?\d{1,9}$/, meaning: "an integer", example: "-1" },
  seconds: { pattern: /^\d{1,9}(\.\d+)?$/, meaning: "a number of seconds", example: "60" },
  decimal: { pattern: /^\d{1,9}(\.\d+)?$/, meaning: "a number", example: "0.5" },
} as const;

/** A command as data, from which the parser, the help and the completion scripts are made. A command runs, has commands, or explains others. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Heading in the help of the parent. */
  readonly group?: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  readonly examples?: readonly string[];
  readonly commands?: readonly CommandSpec[];
  /** The command that runs if the parent has no command. */
  readonly isDefault?: boolean;
  /** The arguments are the words of another command, whose help this command prints. */
  readonly explains?: true;
  /** Loads the code of the command only when it is called. */
  readonly run?: (context: Context, args: ParsedArgs) => Promise<ExitCode>;
}

/** Arguments and options of one call, by name. Their values were checked against the spec. */
export class ParsedArgs {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    assert(value === undefined || typeof value === "string", `${name} is text`, value);
    return value;
  }

  /** An argument that the parser guarantees. */
  required(name: string): string {
    const value = this.text(name);
    assert(value !== undefined, `${name} is given`);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name);
    assert(value === undefined || typeof value === "number", `${name} is a number`, value);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.#values.get(name) ?? [];
    assert(Array.isArray(value), `${name} is a list`, value);
    return value.map(String);
  }
}

/** @param location the option or argument concerned */
export function argumentError(message: string, location: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, location, remedy });
}
