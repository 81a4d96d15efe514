import { ExitCode, systemClock } from "@lapidary/std";
import { runCommandLine } from "./run.js";
import { Interrupts } from "./terminal/interrupts.js";
import { limitWarnings } from "./terminal/process-limits.js";

/** Where the process of a command begins and ends. */

// The reader of a pipe has seen enough (`lapidary jobs | head`): nothing is wrong.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? ExitCode.done : ExitCode.other));

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
