import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";

/** Arithmetic on i32 whose bits are those of ui32. */

const like = (b: GraphBuilder, x: Value, value: number): Value => b.splat(value, tensorType(x.type.dtype, x.type.dims));

/** The values with their top bits flipped. Their order as signed integers is that of the unsigned ones. */
export const flipTop = (b: GraphBuilder, x: Value): Value => b.add(x, like(b, x, -2147483648));

export const lessUnsigned = (b: GraphBuilder, x: Value, y: Value): Value => b.compare(flipTop(b, x), flipTop(b, y), "LT");

/** `x >> amount` without copies of the sign, for amounts of 0 to 31. Larger amounts give 0. */
export function shiftRightLogical(b: GraphBuilder, x: Value, amount: Value): Value {
  const inside = b.op("bitwise_and", [amount, like(b, amount, 31)], {});
  const shifted = b.op("shift_right_arithmetic", [x, inside], {});
  // The lowest 32 − amount bits: the complement of −2 moved by 31 − amount.
  const high = b.op("shift_left", [like(b, x, -2), b.subtract(like(b, amount, 31), inside)], {});
  const kept = b.op("bitwise_and", [shifted, b.op("bitwise_xor", [high, like(b, x, -1)], {})], {});
  return b.select(b.compare(inside, amount, "EQ"), kept, like(b, x, 0));
}

const half = (b: GraphBuilder, x: Value): Value =>
  b.op("bitwise_and", [b.op("shift_right_arithmetic", [x, like(b, x, 1)], {}), like(b, x, 2147483647)], {});

/**
 * Quotient and remainder of unsigned integers. The quotient of x/2 is at most one too small after it is doubled. A divisor of 2³¹ or more goes into
 * x at most once. As in XLA, the quotient by 0 has all bits set, and the remainder is x.
 */
export function divideUnsigned(b: GraphBuilder, x: Value, divisor: Value): { readonly quotient: Value; readonly remainder: Value } {
  const [zero, one] = [like(b, x, 0), like(b, x, 1)];
  const safe = b.select(b.compare(divisor, zero, "GT"), divisor, one);
  const double = b.op("shift_left", [b.divide(half(b, x), safe), one], {});
  const rest = b.subtract(x, b.multiply(double, safe));
  const more = b.select(lessUnsigned(b, rest, safe), zero, one);
  const [small, smallRest] = [b.add(double, more), b.subtract(rest, b.multiply(more, safe))];
  const once = b.select(lessUnsigned(b, x, divisor), zero, one);
  const onceRest = b.subtract(x, b.multiply(once, divisor));
  const large = b.compare(divisor, zero, "LT");
  const none = b.compare(divisor, zero, "EQ");
  return {
    quotient: b.select(none, like(b, x, -1), b.select(large, once, small)),
    remainder: b.select(none, x, b.select(large, onceRest, smallRest)),
  };
}

/** The nearest f32. Both halves of 16 bits are exact, and their sum is rounded once. */
export function floatOfUnsigned(b: GraphBuilder, x: Value): Value {
  const low = b.op("bitwise_and", [x, like(b, x, 0xffff)], {});
  const high = b.op("bitwise_and", [b.op("shift_right_arithmetic", [x, like(b, x, 16)], {}), like(b, x, 0xffff)], {});
  return b.add(b.scale(b.convert(high, "f32"), 65536), b.convert(low, "f32"));
}

/** The whole part of a float of 0 to 2³² − 1 as unsigned bits. */
export function unsignedOfFloat(b: GraphBuilder, x: Value): Value {
  const large = b.compare(x, like(b, x, 2147483648), "GE");
  const rest = b.convert(b.select(large, b.offset(x, -2147483648), x), "i32");
  return b.select(large, flipTop(b, rest), rest);
}

/** The number of bits that are set. */
export function countBits(b: GraphBuilder, x: Value): Value {
  const and = (y: Value, mask: number): Value => b.op("bitwise_and", [y, like(b, y, mask)], {});
  const right = (y: Value, n: number): Value => b.op("shift_right_arithmetic", [y, like(b, y, n)], {});
  const pairs = b.subtract(x, and(right(x, 1), 0x55555555));
  const nibbles = b.add(and(pairs, 0x33333333), and(right(pairs, 2), 0x33333333));
  const bytes = and(b.add(nibbles, right(nibbles, 4)), 0x0f0f0f0f);
  return and(right(b.multiply(bytes, like(b, bytes, 0x01010101)), 24), 0xff);
}

/** The number of zeros before the highest bit that is set. */
export function countLeadingZeros(b: GraphBuilder, x: Value): Value {
  const filled = [1, 2, 4, 8, 16].reduce((y, n) => b.op("bitwise_or", [y, shiftRightLogical(b, y, like(b, y, n))], {}), x);
  return b.subtract(like(b, x, 32), countBits(b, filled));
}
