import { z } from "zod";
import { amount } from "../file/amounts.js";
import type { Stage } from "./stage.js";

const settings = z.union([
  z.strictObject({ tokenizer: z.string().min(1) }),
  z.strictObject({ train: z.strictObject({ size: amount, from: amount.default(2e9) }) }),
]);
export type TokenizeSettings = z.output<typeof settings>;

/** Texts → ids of a tokenizer, in the format of a published dataset. */
export const tokenize: Stage<TokenizeSettings> = {
  settings,
  changes: false,
  steps: () => [],
};
