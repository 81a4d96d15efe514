import { readAllowedHosts } from "@lapidary/api/allowed-hosts";
import { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { type UpOptions, startCoordinator } from "./coordinator-process.js";

/** Starts everything. A running coordinator is an error, so that a script knows that it owns the coordinator. */
export async function up(context: Context, options: UpOptions): Promise<ExitCode> {
  const { console, home } = context;
  checkOptions(options);
  const progress = console.progress();
  progress.update("start Redis, the coordinator and its workers");
  const { connection, warnings } = await startCoordinator(context, options);
  progress.end();
  const url = new CoordinatorClient(connection).pageUrl;
  console.result({ url, pid: connection.pid, port: connection.port, home, warnings }, () => `dashboard  ${url}`);
  console.say("up; `lapidary launch quickstart` trains, `lapidary down` stops everything");
  return ExitCode.done;
}

function checkOptions({ port = 0, workers = 1, allowHosts }: UpOptions): void {
  if (port > 65_535) throw argumentError(`invalid port: ${port}`, "--port", "give 1 to 65535, or 0 for a free port");
  readAllowedHosts(allowHosts, "--allow-host");
  if (workers < 1 || workers > 256)
    throw argumentError(`invalid number of worker processes: ${workers}`, "--workers", "give 1 to 256; the default is one per core");
}
