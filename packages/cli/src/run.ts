import { type Clock, ExitCode, isSystemError, LapidaryError, systemError, type Warning } from "@lapidary/std";
import { parseCommandLine } from "./command-line/parse.js";
import { replaceRenamedOptions } from "./command-line/renamed-options.js";
import { homeDirectory, projectRoot } from "./context.js";
import { Console } from "./terminal/console.js";
import type { Output } from "./terminal/output.js";
import type { Interrupts } from "./terminal/interrupts.js";
import { makePaint, wantsColor } from "./terminal/paint.js";
import { commandTree } from "./tree.js";
import { readVersion } from "./commands/version.js";

/** The process, as far as a command line needs it. */
export interface Surroundings {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Whether standard input is a terminal. */
  readonly stdinIsTTY: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
  /** What was found about the process before the command began. */
  readonly warnings?: readonly Warning[];
}

/**
 * Carries out one command line, from its words to its exit code. All errors end here.
 *
 * @param argv without node and script
 */
export async function runCommandLine(argv: readonly string[], around: Surroundings): Promise<ExitCode> {
  const { stdout, stderr, env, cwd, clock, interrupts } = around;
  // What the words ask for is not yet known when they turn out to be wrong.
  const early = { json: argv.includes("--json"), quiet: false, verbose: false, color: !argv.includes("--no-color") };
  let console = new Console(stdout, stderr, early, env);
  let command = commandTree.name;
  try {
    const style = { columns: stdout.columns || 100, title: makePaint(wantsColor(stdout, early.color, env)).bold };
    const { argv: words, warnings } = replaceRenamedOptions(commandTree, argv);
    const call = parseCommandLine(commandTree, readVersion(projectRoot), words, style);
    console = new Console(stdout, stderr, call.globals, env);
    if (call.kind === "print") {
      stdout.write(call.text);
      return ExitCode.done;
    }
    command = call.command;
    for (const warning of [...(around.warnings ?? []), ...warnings]) console.warn(warning);
    const home = homeDirectory(call.globals.home, env, cwd, projectRoot);
    return await call.run(
      { console, interrupts, clock, env, attended: around.stdinIsTTY && console.interactive, cwd, root: projectRoot, home, command },
      call.given,
    );
  } catch (error) {
    const told = tellable(error);
    console.fail(told, command);
    return told.exit;
  }
}

/** What the operating system refused is no bug of ours. An error that no one foresaw is: it is told like the others, and shows its cause with `-v`. */
function tellable(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error);
  return new LapidaryError({
    code: "LAP_CLI_INTERNAL",
    message: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}
