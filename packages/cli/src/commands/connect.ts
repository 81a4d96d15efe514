import { counted, LapidaryError } from "@lapidary/std";
import type { MetricsRow } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { Context } from "../context.js";
import { readVersion } from "./version.js";

/** The client of the coordinator of this state directory. @throws LAP_COORDINATOR_DOWN (exit 3) if no coordinator runs */
export async function connect(context: Context): Promise<CoordinatorClient> {
  const { CoordinatorClient } = await import("@lapidary/api/client");
  return CoordinatorClient.forHome(context.home);
}

/**
 * Runs `read` with a client of the coordinator. If no coordinator runs, the client reads the files of the runs.
 *
 * @param needs `views`: `read` also needs the routes of the page, which take longer to load
 * @param read `isLive`: whether a coordinator runs, so that more can happen
 * @throws LAP_COORDINATOR_DOWN (exit 3) if no coordinator runs and there are no runs
 */
export async function withReader<T>(
  context: Context,
  read: (client: CoordinatorClient, isLive: boolean) => Promise<T>,
  { views }: { readonly views: boolean } = { views: false },
): Promise<T> {
  const { console, home, root, clock } = context;
  const found = await answering(context);
  if (!(found instanceof LapidaryError)) return read(found, true);
  const [{ serveRecordedRuns }, { CoordinatorClient }] = await Promise.all([
    import("@lapidary/coordinator/recorded-runs"),
    import("@lapidary/api/client"),
  ]);
  const server = await serveRecordedRuns({ home, root, clock, version: readVersion(root), views });
  if (server === undefined) throw found;
  try {
    for (const path of server.unreadable) console.warn({ ...unreadable, place: path });
    console.say("no coordinator runs: this is what the files of the runs say");
    return await read(new CoordinatorClient(server), false);
  } finally {
    await server.close();
  }
}

const unreadable = {
  code: "LAP_JOB_UNREADABLE",
  message: "the files of a run or pipeline cannot be read",
  remedy: "check the disk, or move the directory away",
};

/** The client of a coordinator that answers, or the error. */
export async function answering(context: Context): Promise<CoordinatorClient | LapidaryError> {
  try {
    const client = await connect(context);
    await client.status();
    return client;
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_COORDINATOR_DOWN") return error;
    throw error;
  }
}

/** Every row of a run's metrics, page by page. Unreadable rows are omitted, with a warning. */
export async function allMetrics({ console }: Pick<Context, "console">, client: CoordinatorClient, id: string): Promise<MetricsRow[]> {
  const rows: MetricsRow[] = [];
  let unreadable = 0;
  for (let from: number | undefined = 0; from !== undefined; ) {
    const page = await client.metrics(id, { from, limit: 10_000 });
    rows.push(...page.metrics);
    unreadable += page.unreadable ?? 0;
    from = page.next_from;
  }
  if (unreadable > 0)
    console.warn({
      code: "LAP_METRICS_UNREADABLE",
      message: `${counted(unreadable, "row")} of metrics cannot be read and ${unreadable === 1 ? "is" : "are"} left out`,
      place: `run ${id}`,
      remedy: `\`lapidary jobs events ${id}\` names the lines; check the disk if metrics.jsonl was not edited`,
    });
  return rows;
}
