import { z } from "zod";
import type { Stage } from "./stage.js";

/** The settings of `dedup`. */
const settings = z.strictObject({});
export type DedupSettings = z.infer<typeof settings>;

export const dedup: Stage<DedupSettings> = { settings, changes: true, steps: () => [] };
