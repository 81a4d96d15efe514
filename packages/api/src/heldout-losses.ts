/** The held-out losses of the sources of a run, as metrics of its evaluations. */

const prefix = "heldout_loss.";

/** The metric of a source. */
export const heldoutLossMetric = (source: string): string => `${prefix}${source}`;

/** The held-out loss of each source, in nats per token. Absent if a run has no sources. */
export function heldoutLossesOf(metrics: Readonly<Record<string, number>> = {}): { heldout_losses?: Record<string, number> } {
  const losses = Object.entries(metrics).flatMap(([name, loss]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), loss]] : []));
  return losses.length === 0 ? {} : { heldout_losses: Object.fromEntries(losses) as Record<string, number> };
}
