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
]);

/** Parses a response of the coordinator, and converts NaN and infinities back to numbers. */
export const parseResponse = (text: string): unknown =>
  JSON.parse(text, (key, value: unknown) => (floats.has(key) ? (floatOf(value) ?? value) : value));
