import { type Dtype, type GraphBuilder, sizeOf, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/** The type of a value in the text: `element` as StableHLO names it (`ui32`, `i1`). */
export interface ItemType {
  readonly element: string;
  readonly dims: readonly number[];
}

/** The numbers of a value that no input changes. ui32 are stored without sign. */
export type Known = { readonly kind: "uniform"; readonly value: number } | { readonly kind: "data"; readonly data: Float64Array };

/** A part of an array that loops fill piece by piece: elements `start` to `limit` of `dimension`. */
interface Segment {
  readonly start: number;
  readonly limit: number;
  readonly item: Item;
}

/**
 * A value of the text during the conversion. The graph contains it only after its first use as an operand of the graph, so
 * that indices and counters of loops disappear.
 */
export type Item = ItemType & {
  /** In a manual region: the leading dims of `dims`, one for each axis along which the value differs from chip to chip. */
  readonly lead?: readonly { readonly axis: string; readonly size: number }[];
} /** `make` adds the value to the graph by the operations of the text, if the graph has no constant of this form. */ & (
    | { readonly kind: "known"; readonly known: Known; readonly make?: () => Value }
    | { readonly kind: "value"; readonly value: Value }
    | { readonly kind: "segments"; readonly dimension: number; readonly segments: readonly Segment[] }
  );

const dtypes: Readonly<Record<string, Dtype>> = {
  ...{ f32: "f32", bf16: "bf16", i32: "i32", ui32: "i32", i1: "pred" },
  ...{ i8: "i32", ui8: "i32", i16: "i32", ui16: "i32" },
};

/** The element type in the graph; undefined if the graph has none. Values of ui32 are i32 with the same bits, and narrower integers are i32. */
export const dtypeOf = (element: string): Dtype | undefined => (Object.hasOwn(dtypes, element) ? dtypes[element] : undefined);

export const uniform = (type: ItemType, value: number): Item => ({ ...typeOf(type), kind: "known", known: { kind: "uniform", value } });
export const typeOf = ({ element, dims }: ItemType): ItemType => ({ element, dims });

/** The array of a known value, or undefined. Equal elements become a uniform value. */
export function knownItem(type: ItemType, data: Float64Array): Item {
  const first = data[0] ?? 0;
  if (data.every((v) => Object.is(v, first))) return uniform(type, first);
  return { ...typeOf(type), kind: "known", known: { kind: "data", data } };
}

/** The item with a way to compute it in the graph. Equal elements and sequences are constants of the graph, and need none. */
export const withMake = (item: Item, make: () => Value): Item =>
  item.kind === "known" && item.known.kind === "data" && item.make === undefined ? { ...item, make } : item;

/** The number in every element, or undefined. */
export const uniformOf = (item: Item): number | undefined =>
  item.kind === "known" && item.known.kind === "uniform" ? item.known.value : undefined;

/** Known arrays of more elements stay in the graph. */
export const maxKnownElements = 1 << 16;

/** All numbers of a known value, row-major; undefined if inputs change them, or if there are too many. */
export function numbersOf(item: Item): Float64Array | undefined {
  if (item.kind !== "known") return undefined;
  if (item.known.kind === "data") return item.known.data;
  const size = sizeOf(item.dims);
  return size > maxKnownElements ? undefined : new Float64Array(size).fill(item.known.value);
}

export const isFloatElement = (element: string): boolean => /^(?:bf16|f\d)/.test(element);
export const isUnsigned = (element: string): boolean => element.startsWith("ui");
/** An integer type of fewer than 32 bits. The graph has its values as i32, with the sign of the narrow type. */
export const isNarrow = (element: string): boolean => /^u?i(?:8|16)$/.test(element);
export const bitsOf = (element: string): number => Number(/\d+$/.exec(element)?.[0] ?? 32);

/** A number as the element type stores it; undefined if a double cannot store it exactly. */
export function stored(element: string, value: number): number | undefined {
  if (element === "f32") return Math.fround(value);
  if (element === "bf16") return roundToBf16(value);
  if (isFloatElement(element)) return value;
  if (element === "i1") return value === 0 ? 0 : 1;
  if (element === "index") return value;
  const bits = bitsOf(element);
  if (!Number.isSafeInteger(value)) return undefined;
  if (bits >= 64) return isUnsigned(element) && value < 0 ? undefined : value;
  const modulus = 2 ** bits;
  const positive = ((value % modulus) + modulus) % modulus;
  return isUnsigned(element) || positive < modulus / 2 ? positive : positive - modulus;
}

/** The nearest bf16, ties to even. */
function roundToBf16(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  if (!Number.isFinite(value)) return value;
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  view.setUint32(0, rounded >>> 0);
  return view.getFloat32(0);
}

/** Adds a known array to the graph: one number, an arithmetic sequence along one dim or in row-major order, or a few numbers one after the other. */
export function materializeKnown(b: GraphBuilder, type: ItemType, known: Known, dtype: Dtype, make?: () => Value): Value | undefined {
  const number = (v: number): number => (dtype === "i32" ? v | 0 : v);
  if (known.kind === "uniform") return b.splat(number(known.value), tensorType(dtype, type.dims));
  const along = sequenceOf(type.dims, known.data);
  const inOrder = along === undefined ? sequenceOf([known.data.length], known.data) : undefined;
  const sequence = along === undefined ? inOrder && { ...inOrder, dims: [known.data.length] } : { ...along, dims: type.dims };
  if (sequence !== undefined && (dtype === "i32" || dtype === "f32")) {
    const flat = b.iota(tensorType("i32", sequence.dims), sequence.dimension);
    const iota = b.reshape(flat, type.dims);
    const steps = sequence.step === 1 ? iota : b.scale(iota, number(sequence.step));
    const shifted = sequence.first === 0 ? steps : b.offset(steps, number(sequence.first));
    return b.convert(shifted, dtype);
  }
  if (make !== undefined) return make();
  if (known.data.length > 256) return undefined;
  const flat = b.concatenate(
    [...known.data].map((v) => b.splat(number(v), tensorType(dtype, [1]))),
    0,
  );
  return b.reshape(flat, type.dims);
}

/** Whole numbers `first + i · step` along one dim, constant along all others. */
export function sequenceOf(dims: readonly number[], data: Float64Array): { dimension: number; first: number; step: number } | undefined {
  const first = ensure(data[0], "element");
  for (let dimension = 0, size = data.length; dimension < dims.length; dimension++) {
    const n = ensure(dims[dimension], "dim");
    const stride = (size /= n);
    if (n < 2) continue;
    const step = (data[stride] ?? 0) - first;
    const fits =
      Number.isInteger(first) && Number.isInteger(step) && data.every((v, i) => v === first + (Math.floor(i / stride) % n) * step);
    if (fits) return { dimension, first, step };
  }
  return undefined;
}
