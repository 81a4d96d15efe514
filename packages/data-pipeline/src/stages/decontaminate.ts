import { z } from "zod";
import type { Stage } from "./stage.js";

/** The settings of `decontaminate`. */
const settings = z.strictObject({});
export type DecontaminateSettings = z.infer<typeof settings>;

export const decontaminate: Stage<DecontaminateSettings> = { settings, changes: true, steps: () => [] };
