import { f32Number } from "@lapidary/models";
import { z } from "zod";

const positive = f32Number.positive();
const fraction = f32Number.min(0).max(1);
const weightDecay = f32Number.min(0).max(1).default(0);
/** A beta that rounds to 1 in f32 never forgets a gradient, so its sum diverges. */
const beta = f32Number
  .min(0)
  .lt(1)
  .refine((value) => Math.fround(value) < 1, "f32 would hold it as 1: use at most 0.9999999");

/** The rule that turns gradients into new weights. Keys are those of job files. */
export const optimizerSchema = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("adamw"),
    /** Peak learning rate; the schedule scales it. */
    lr: positive,
    betas: z.tuple([beta, beta]).default([0.9, 0.95]),
    eps: positive.default(1e-8),
    /** Decoupled, on every parameter. */
    weight_decay: weightDecay,
  }),
  z.strictObject({ name: z.literal("sgd"), lr: positive, weight_decay: weightDecay }),
]);
export type OptimizerConfig = Readonly<z.infer<typeof optimizerSchema>>;

const warmup = z.number().int().min(0).default(0);
const final = fraction.default(0);

/** The learning-rate schedule: up during `warmup` steps, then down to `final` times its peak at the last step. */
export const scheduleSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant"), warmup }),
  z.strictObject({ name: z.literal("linear"), warmup, final }),
  z.strictObject({ name: z.literal("cosine"), warmup, final }),
]);
export type ScheduleConfig = Readonly<z.infer<typeof scheduleSchema>>;

/** The settings of the train step. */
export interface UpdateConfig {
  /** Steps of the whole run. The schedule ends at the last. */
  readonly steps: number;
  readonly optimizer: OptimizerConfig;
  readonly schedule: ScheduleConfig;
  /** Largest global norm of the gradients; larger gradients are scaled down to it. */
  readonly clip?: number | undefined;
}
