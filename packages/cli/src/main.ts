import { ExitCode, isSystemError, systemClock, systemError } from "@lapidary/std";
import { runCommandLine } from "./run.js";
import { errorText } from "./terminal/error-text.js";
import { Interrupts } from "./terminal/interrupts.js";
import { limitWarnings } from "./terminal/process-limits.js";
import { makePaint } from "./terminal/paint.js";

/** Where the process of a command begins and ends. */

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has seen enough (`lapidary jobs | head`): nothing is wrong.
  if (error.code === "EPIPE") process.exit(ExitCode.done);
  const typed = systemError(isSystemError(error) ? error : Object.assign(new Error(error.message), { code: "EIO" }), {
    doing: "write the results",
    place: "standard output",
  });
  process.stderr.write(`${errorText(typed, "lapidary", makePaint(false))}\n`);
  process.exit(typed.exit);
});
// Where nobody can be told, the exit code still says how it went.
process.stderr.on("error", () => undefined);

// A command that waits for Ctrl-C alone has nothing else that keeps Node from ending.
const alive = setInterval(() => undefined, 60_000);
const exit = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdinIsTTY: process.stdin.isTTY === true,
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock,
  warnings: limitWarnings(),
  interrupts: new Interrupts(process, systemClock, () => process.exit(ExitCode.interrupted)),
});
clearInterval(alive);
for (const stream of [process.stdout, process.stderr]) await new Promise((written) => stream.write("", written));
process.exit(exit);
