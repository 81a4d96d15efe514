/** 16-bit floats, widened exactly. */

/** bfloat16 is the upper half of an f32. */
export function bf16ToF32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = (bits[i] ?? 0) << 16;
  return new Float32Array(out.buffer);
}

/**
 * IEEE binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. Exponent 0 means m · 2^-24, exponent 31 infinity or NaN.
 */
export function f16ToF32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i] ?? 0;
    const [exponent, mantissa] = [(h >> 10) & 31, h & 1023];
    const magnitude =
      exponent === 0 ? mantissa * 2 ** -24 : exponent === 31 ? (mantissa === 0 ? Infinity : NaN) : (1024 + mantissa) * 2 ** (exponent - 25);
    out[i] = h >> 15 === 1 ? -magnitude : magnitude;
  }
  return out;
}
