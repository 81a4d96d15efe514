import { ExitCode, LapidaryError, assert } from "@lapidary/std";
import type { Context } from "../context.js";

/** What stands in a place of the command line, for completion. */
export type Completes = "job" | "run" | "file" | "directory" | "none";

export interface ArgumentSpec {
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
  /** Takes all that follow. */
  readonly variadic?: boolean;
  readonly choices?: readonly string[];
  readonly completes?: Completes;
}

export interface OptionSpec {
  /** As commander writes them: `-d, --detach`, `--torus <shape>`. */
  readonly flags: string;
  readonly description: string;
  /** How the value is read; text by default. */
  readonly value?: "text" | keyof typeof numberForms;
  readonly choices?: readonly string[];
  readonly completes?: Completes;
  /**
   * What is done with the file or directory that the option names. Every option that completes to one says so; a test tries every place that cannot be
   * written on each that says `write`.
   */
  readonly access?: "read" | "write";
  /** May be given several times: the value is the list of all. */
  readonly repeatable?: true;
  /** Must be given. */
  readonly mandatory?: boolean;
}

/** Numbers as options take them. */
export const numberForms = {
  whole: { pattern: /^\d{1,9}$/, meaning: "a whole number", example: "2" },
  integer: { pattern: /^-?\d{1,9}$/, meaning: "an integer", example: "-1" },
  seconds: { pattern: /^\d{1,9}(\.\d+)?$/, meaning: "a number of seconds", example: "60" },
  decimal: { pattern: /^\d{1,9}(\.\d+)?$/, meaning: "a number", example: "0.5" },
} as const;

/** A command as data: the parser, the help and the completion scripts are made of it. A command runs, has commands, or explains others. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** Heading in the help of the parent. */
  readonly group?: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  readonly examples?: readonly string[];
  readonly commands?: readonly CommandSpec[];
  /** Meant when the parent is given no command. */
  readonly isDefault?: boolean;
  /** Its arguments are the words of another command, whose help it prints. */
  readonly explains?: true;
  /** Loads its code when it is called, never before. */
  readonly run?: (context: Context, given: Given) => Promise<ExitCode>;
}

/** Arguments and options of one call, by name; their values are checked against the spec. */
export class Given {
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

  /** An argument that the parser has made sure of. */
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

/** @param place the option or argument concerned */
export function argumentError(message: string, place: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, place, remedy });
}
