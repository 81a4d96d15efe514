import type { GraphBuilder, Value } from "@lapidary/ir";
import type { ScheduleConfig } from "./optimizer-config.js";

/**
 * The learning rate as a function of the step, in the graph: one program computes all steps of a run.
 *
 *     peak ┤    ╭──╮            constant  1
 *          │   ╱    ╲ cosine    linear    1 − (1 − final) · p
 *          │  ╱      ╲          cosine    final + (1 − final) · ½(1 + cos πp)
 *     final┤ ╱        ╰──
 *          └┴────┴───────┴►     p = progress from warm-up to the end, 0 to 1
 *           0  warmup  steps
 *
 * @param step f32 scalar, from 0
 * @param peak learning rate
 * @param steps of the whole run
 */
export function learningRate(g: GraphBuilder, step: Value, schedule: ScheduleConfig, peak: number, steps: number): Value {
  return g.named("learning_rate", g.scale(g.multiply(warmupFactor(g, step, schedule.warmup), decayFactor(g, step, schedule, steps)), peak));
}

/** min(1, (step + 1) / warmup): the first step has a positive rate. */
const warmupFactor = (g: GraphBuilder, step: Value, warmup: number): Value =>
  warmup === 0 ? g.scalar(1) : g.minimum(g.scale(g.offset(step, 1), 1 / warmup), g.scalar(1));

function decayFactor(g: GraphBuilder, step: Value, schedule: ScheduleConfig, steps: number): Value {
  if (schedule.name === "constant") return g.scalar(1);
  const { warmup, final } = schedule;
  const raw = g.scale(g.offset(step, -warmup), 1 / Math.max(1, steps - warmup));
  const progress = g.minimum(g.maximum(raw, g.scalar(0)), g.scalar(1));
  if (schedule.name === "linear") return g.offset(g.scale(progress, final - 1), 1);
  return g.offset(g.scale(g.offset(g.cosine(g.scale(progress, Math.PI)), 1), (1 - final) / 2), final);
}
