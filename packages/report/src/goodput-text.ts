import { counted } from "@lapidary/std";
import type { JobDetail } from "@lapidary/api";

/** The share of the time for committed steps, and the shares of other causes, largest first. */
export function goodputText(goodput: JobDetail["goodput"]): string | undefined {
  if (goodput === undefined || goodput.wall_ms === 0) return undefined;
  const share = (ms: number): string => `${((100 * ms) / goodput.wall_ms).toFixed(1)} %`;
  const rest = Object.entries(goodput.lost_ms)
    .filter(([, ms]) => ms > goodput.wall_ms / 1000)
    .sort(([, a], [, b]) => b - a)
    .map(([what, ms]) => `${what} ${share(ms)}`);
  const failures = goodput.failures === 0 ? "" : `; ${counted(goodput.failures, "failure")} survived`;
  return `${share(goodput.committed_ms)}${rest.length === 0 ? "" : ` (${rest.join(", ")})`}${failures}`;
}
