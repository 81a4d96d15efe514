import { type Clock, ExitCode, isSystemError, LapidaryError, systemError, type Warning } from "@lapidary/std";
import { parseCommandLine } from "./command-line/parse.js";
import { replaceRenamedOptions } from "./command-line/renamed-options.js";
import { withShippedFiles } from "./command-line/shipped-files.js";
import { homeDirectory, projectRoot } from "./context.js";
import { Console } from "./terminal/console.js";
import type { Output } from "./terminal/output.js";
import type { Interrupts } from "./terminal/interrupts.js";
import { makePaint, wantsColor } from "@lapidary/report/paint";
import { commandTree } from "./tree.js";
import { readVersion } from "./commands/version.js";

/** The streams, environment and signals of a process that a command line uses. */
export interface ProcessIo {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Whether standard input is a terminal. */
  readonly stdinIsTTY: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
  /** Warnings about the process from before the command started. */
  readonly warnings?: readonly Warning[];
}

/**
 * Runs one command line and returns its exit code. All errors are caught and printed here.
 *
 * @param argv without node and script
 */
export async function runCommandLine(argv: readonly string[], io: ProcessIo): Promise<ExitCode> {
  const { stdout, stderr, env, cwd, clock, interrupts } = io;
  // If the command line is wrong, its options are not parsed yet, so they are read from argv.
  const early = { json: argv.includes("--json"), quiet: false, verbose: false, color: !argv.includes("--no-color") };
  let console = new Console(stdout, stderr, early, env);
  let command = commandTree.name;
  try {
    const style = { columns: stdout.columns || 100, title: makePaint(wantsColor(stdout, early.color, env)).bold };
    const { argv: words, warnings } = replaceRenamedOptions(commandTree, argv);
    const call = parseCommandLine(commandTree, readVersion(projectRoot), withShippedFiles(words, cwd, projectRoot), style);
    console = new Console(stdout, stderr, call.globals, env);
    if (call.kind === "print") {
      stdout.write(call.text);
      return ExitCode.done;
    }
    command = call.command;
    for (const warning of [...(io.warnings ?? []), ...warnings]) console.warn(warning);
    const home = homeDirectory(call.globals.home, env, cwd, projectRoot);
    return await call.run(
      { console, interrupts, clock, env, attended: io.stdinIsTTY && console.interactive, cwd, root: projectRoot, home, command },
      call.args,
    );
  } catch (error) {
    const userError = toUserError(error);
    console.fail(userError, command);
    return userError.exit;
  }
}

/** An error of the operating system is reported as such. Any other unexpected error is a bug; it is printed like the others, and shows its cause with `-v`. */
function toUserError(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error);
  return new LapidaryError({
    code: "LAP_CLI_INTERNAL",
    message: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}
