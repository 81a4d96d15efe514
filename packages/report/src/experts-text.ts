import { formatCount } from "@lapidary/std";

/** The choices of each expert in the last step, the load of the busiest one, and the share that was dropped; undefined without experts. */
export function expertsText(metrics: Readonly<Record<string, number>> | undefined): string | undefined {
  const counts: number[] = [];
  for (const [name, value] of Object.entries(metrics ?? {})) {
    const [, expert] = /^expert_tokens\.(\d+)$/.exec(name) ?? [];
    if (expert !== undefined) counts[Number(expert)] = value;
  }
  const total = counts.reduce((a, b) => a + b, 0);
  if (total === 0) return undefined;
  const shown = counts.length <= 16 ? ` (${counts.map(formatCount).join(", ")})` : "";
  const busiest = counts.indexOf(Math.max(...counts));
  const load = `expert ${busiest} has ${(((counts[busiest] ?? 0) * counts.length) / total).toFixed(2)} × the mean of ${formatCount(Math.round(total / counts.length))} choices${shown}`;
  const dropped = metrics?.["expert_dropped_share"];
  return dropped === undefined ? load : `${load}, ${(100 * dropped).toFixed(1)} % of the choices dropped`;
}
