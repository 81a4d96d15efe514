import { floatOf } from "@lapidary/std";

/** Keys of the API whose numbers may be infinite or no number; JSON has these as text (`jsonText` of std). Text never stands under them. */
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

/** What the coordinator answers, with its numbers as numbers. */
export const parseAnswer = (text: string): unknown =>
  JSON.parse(text, (key, value: unknown) => (floats.has(key) ? (floatOf(value) ?? value) : value));
