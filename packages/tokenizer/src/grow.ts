/** The array, or a copy of twice the length if it has no element `at`. */
export function grownTo<T extends Int32Array | Float64Array>(array: T, at: number): T {
  if (at < array.length) return array;
  const larger = new (array.constructor as new (length: number) => T)(Math.max(array.length * 2, at + 1));
  larger.set(array);
  return larger;
}
