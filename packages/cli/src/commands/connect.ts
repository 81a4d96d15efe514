import { counted } from "@lapidary/std";
import type { MetricsRow } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { Context } from "../context.js";

/** The client of the coordinator of this state directory. @throws LAP_COORDINATOR_DOWN (exit 3) if no coordinator runs */
export async function connect(context: Context): Promise<CoordinatorClient> {
  const { CoordinatorClient } = await import("@lapidary/api/client");
  return CoordinatorClient.forHome(context.home);
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
