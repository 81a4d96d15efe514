import { ExitCode, isSystemError, systemClock, systemError } from "@lapidary/std";
import { runCommandLine } from "./run.js";
import { errorText } from "./terminal/error-text.js";
import { Interrupts } from "./terminal/interrupts.js";
import { limitWarnings } from "./terminal/process-limits.js";
import { makePaint } from "@lapidary/report/paint";

/** Start and end of the process of a command. */

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has closed it (`lapidary jobs | head`). This is not an error.
  if (error.code === "EPIPE") process.exit(ExitCode.done);
  const typed = systemError(isSystemError(error) ? error : Object.assign(new Error(error.message), { code: "EIO" }), {
    doing: "write the results",
    place: "standard output",
  });
  process.stderr.write(`${errorText(typed, "lapidary", makePaint(false))}\n`);
  process.exit(typed.exit);
});
// If stderr is closed, the exit code still reports the result.
process.stderr.on("error", () => undefined);

// Keeps Node running while a command waits only for Ctrl-C.
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
