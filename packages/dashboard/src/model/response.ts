import { floatOf } from "@lapidary/std";

/** Keys of the API with numbers that may be NaN or infinite. JSON has these as text (`jsonText` of std); the keys never have other text values. */
const floats: ReadonlySet<string> = new Set([
  "loss",
  "grad_norm",
  "learning_rate",
  "tokens_per_s",
  "step_ms",
  "eta_s",
  "heldout_loss",
  "unigram_loss",
  "train_loss",
  "score",
]);

/** Parses a response of the coordinator, and converts NaN and infinities back to numbers. */
export const parseResponse = (text: string): unknown => JSON.parse(text, revived);

function revived(key: string, value: unknown): unknown {
  if (floats.has(key)) return floatOf(value) ?? value;
  if ((key !== "metrics" && key !== "heldout_losses") || typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, metric]: [string, unknown]) => [name, floatOf(metric) ?? metric]));
}
