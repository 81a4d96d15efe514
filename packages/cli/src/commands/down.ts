import { ExitCode, counted } from "@lapidary/std";
import type { Context } from "../context.js";
import { stopCoordinator } from "./coordinator-process.js";

/** Stops all processes of this state directory, and checks that none is left. */
export async function down(context: Context): Promise<ExitCode> {
  const { console, interrupts } = context;
  const progress = console.progress();
  progress.update("stop jobs, workers, the coordinator and Redis");
  const release = interrupts.takeOver(() => console.say("already stopping"));
  const stopped = await stopCoordinator(context).finally(release);
  progress.end();
  const count = stopped.processes.length;
  console.result(stopped, () =>
    count === 0 ? "no coordinator was running" : `down: ${counted(count, "process", "processes")} ended, none is left`,
  );
  return ExitCode.done;
}
