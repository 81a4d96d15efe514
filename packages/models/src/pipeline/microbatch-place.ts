import { type GraphBuilder, type TensorType, tensorType, type Value } from "@lapidary/ir";

/** What a stage computes in a tick, i32 each. */
export interface MicrobatchPlace {
  /** The repeat whose layers the stage has in the tick; undefined without repeats. */
  readonly repeat: Value | undefined;
  readonly microbatch: Value;
}

/**
 * The microbatch and the repeat of a stage. In every repeat, all microbatches pass the stages in their order.
 *
 * @param passed microbatches that the stage computed before in all repeats, i32 of any dims. A negative number has repeat 0 and a negative
 * microbatch, and a number after the last repeat a microbatch of at least M
 */
export function placeOf(g: GraphBuilder, passed: Value, microbatches: number, repeats: number): MicrobatchPlace {
  if (repeats === 1) return { repeat: undefined, microbatch: passed };
  const { type } = passed;
  const zero = g.splat(0, type);
  let [repeat, microbatch] = [zero, passed];
  for (let begun = 1; begun < repeats; begun++) {
    const isAfter = g.compare(passed, g.splat(begun * microbatches, type), "GE");
    repeat = g.add(repeat, g.select(isAfter, g.splat(1, type), zero));
    microbatch = g.subtract(microbatch, g.select(isAfter, g.splat(microbatches, type), zero));
  }
  return { repeat, microbatch };
}

/** By stage, the microbatches that the stage computed before tick `tick`, if the first stage begins in tick 0: i32[S]. */
export function passedBy(g: GraphBuilder, tick: Value, stages: number): Value {
  const type = ofStages(stages);
  return g.subtract(g.broadcastInDim(tick, type.dims, []), g.iota(type, 0));
}

/** One i32 for each stage. */
export const ofStages = (stages: number): TensorType => tensorType("i32", [stages]);
