import { CoordinatorClient } from "@lapidary/coordinator/client";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { type UpOptions, startCoordinator } from "./coordinator-process.js";

/** Starts everything; an error when it is up already, so that a script knows whose it is. */
export async function up(context: Context, options: UpOptions): Promise<ExitCode> {
  const { console, home } = context;
  const progress = console.progress();
  progress.update("start Redis, the coordinator and its workers");
  const connection = await startCoordinator(context, options);
  progress.end();
  const url = new CoordinatorClient(connection).pageUrl;
  console.result({ url, pid: connection.pid, port: connection.port, home }, () => `dashboard  ${url}`);
  console.say("up; `lapidary launch configs/jobs/quickstart.yaml` trains, `lapidary down` stops everything");
  return ExitCode.done;
}
