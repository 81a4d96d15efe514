import { type GraphBuilder, tensorType, type TensorType, type Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/** The arrays [S, …] of the last ticks, as one array [S, slots, …]. The array of tick t is in slot t mod `slots`. */
export class Ring {
  constructor(
    readonly g: GraphBuilder,
    readonly slots: number,
    /** Of the array of a tick [S, …]. */
    readonly type: TensorType,
  ) {}

  empty(): Value {
    const { type, slots } = this;
    const [S = 0, ...rest] = type.dims;
    return this.g.splat(0, tensorType(type.dtype, [S, slots, ...rest]));
  }

  /** @param slot of this tick, i32 */
  write(ring: Value, slot: Value, value: Value): Value {
    const [S = 0, ...rest] = value.type.dims;
    return this.g.dynamicUpdateSlice(ring, this.g.reshape(value, [S, 1, ...rest]), slot, 1);
  }

  /**
   * For each stage, its part of the array of an earlier tick.
   *
   * @param slot of this tick, i32
   * @param age ticks ago, i32[S], less than `slots`
   */
  read(ring: Value, slot: Value, age: Value): Value {
    const { g, slots, type } = this;
    const [S = 0] = type.dims;
    const at = g.subtract(g.broadcastInDim(slot, [S], []), age);
    const inRing = g.select(g.compare(at, g.splat(0, at.type), "LT"), g.offset(at, slots), at);
    const found = g.gather(ring, g.reshape(inRing, [S, 1]), 1);
    assert(found.type.dims[1] === 1, "one array for each stage");
    return g.reshape(found, type.dims);
  }

  /** The slot of the next tick. */
  next(slot: Value): Value {
    const { g } = this;
    const after = g.offset(slot, 1);
    return g.select(g.compare(after, g.scalar(this.slots, "i32"), "EQ"), g.scalar(0, "i32"), after);
  }
}
