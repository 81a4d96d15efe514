import type { CoordinatorClient } from "@lapidary/api/client";
import { LapidaryError } from "@lapidary/std";
import type { Context } from "../context.js";
import { agrees } from "../terminal/agrees.js";
import { answering } from "./connect.js";

/**
 * The client of the coordinator. Starts one if none runs and `up` is set, or if a person at the terminal agrees.
 *
 * @throws LAP_COORDINATOR_DOWN otherwise
 */
export async function connectToLaunch(context: Context, up: boolean): Promise<CoordinatorClient> {
  const { console, attended, interrupts } = context;
  const found = await answering(context);
  if (!(found instanceof LapidaryError)) return found;
  if (!up && !(attended && (await agrees("No coordinator runs here. Start one?", interrupts.signal)))) throw found;
  const { startCoordinator } = await import("./coordinator-process.js");
  const progress = console.progress();
  progress.update("start Redis, the coordinator and its workers");
  const { connection } = await startCoordinator(context, { port: undefined, workers: undefined, allowHosts: [] });
  progress.end();
  const { CoordinatorClient } = await import("@lapidary/api/client");
  const client = new CoordinatorClient(connection);
  console.say(`up: the dashboard is at ${client.pageUrl}; \`lapidary down\` stops everything`);
  return client;
}
