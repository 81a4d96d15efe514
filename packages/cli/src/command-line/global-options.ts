import type { OptionSpec } from "./spec.js";

/** Options that every command has. */
export interface GlobalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean;
  readonly home: string | undefined;
}

export const globalOptions: readonly OptionSpec[] = [
  { flags: "--json", description: "results as JSON on stdout, nothing else there" },
  { flags: "-q, --quiet", description: "no messages, no progress" },
  { flags: "-v, --verbose", description: "more messages, and the cause of errors" },
  { flags: "--no-color", description: "no colour (as NO_COLOR in the environment)" },
  {
    flags: "--home <dir>",
    description: "the state directory (default: LAPIDARY_HOME, else .lapidary in the project or, if installed, in the working directory)",
    completes: "directory",
    access: "write",
  },
];
