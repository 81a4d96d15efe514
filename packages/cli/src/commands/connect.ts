import type { MetricsRow } from "@lapidary/coordinator/api";
import type { CoordinatorClient } from "@lapidary/coordinator/client";
import type { Context } from "../context.js";

/** Speaks to the coordinator of this home. @throws LAP_COORDINATOR_DOWN (exit 3) when none has been started */
export async function connect(context: Context): Promise<CoordinatorClient> {
  const { CoordinatorClient } = await import("@lapidary/coordinator/client");
  return CoordinatorClient.forHome(context.home);
}

/** Every row of a run's metrics, page by page. */
export async function allMetrics(client: CoordinatorClient, id: string): Promise<MetricsRow[]> {
  const rows: MetricsRow[] = [];
  for (let from: number | undefined = 0; from !== undefined; ) {
    const page = await client.metrics(id, { from, limit: 10_000 });
    rows.push(...page.metrics);
    from = page.next_from;
  }
  return rows;
}
