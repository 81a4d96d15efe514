import { sizeOf } from "@lapidary/ir";
import type { Attribute } from "../text/syntax.js";
import { type Item, type ItemType, isFloatElement, knownItem, maxKnownElements, stored, uniform } from "./item.js";

/** Literals of more elements are refused: pass such an array as an argument. */
const maxLiteralElements = 1 << 20;

/** The value of a `dense<…>` attribute, or a sentence that says why it has none. */
export function denseItem(type: ItemType, attribute: Attribute | undefined): Item | string {
  if (attribute?.kind !== "dense") return "its value is not of the form dense<…>";
  const body = attribute.body.trim();
  const size = sizeOf(type.dims);
  if (/^"0x/i.test(body)) return fromBytes(type, body.slice(3, -1), size);
  if (!body.startsWith("[")) {
    const value = body === "" && size === 0 ? 0 : numberOf(type.element, body);
    return value === undefined ? `"${body.slice(0, 40)}" is not a number of type ${type.element}` : uniform(type, value);
  }
  if (size > maxLiteralElements) return `its literal has more than ${maxLiteralElements} elements`;
  const items = body.replace(/[[\]\s]/g, "").split(",");
  if (items.length !== size) return `its literal has ${items.length} elements, and its type ${size}`;
  const data = new Float64Array(size);
  for (const [i, text] of items.entries()) {
    const value = numberOf(type.element, text);
    if (value === undefined) return `"${text.slice(0, 40)}" is not a number of type ${type.element}`;
    data[i] = value;
  }
  return tooLarge(data) ?? knownItem(type, data);
}

const tooLarge = (data: Float64Array): string | undefined =>
  data.length > maxKnownElements && data.some((v) => v !== data[0])
    ? `its literal has more than ${maxKnownElements} different elements`
    : undefined;

/** One number as text: decimal, `true`, or the bits of a float in hexadecimal. */
function numberOf(element: string, text: string): number | undefined {
  if (text === "true" || text === "false") return element === "i1" ? Number(text === "true") : undefined;
  if (/^-?0x[0-9a-fA-F]+$/.test(text)) {
    if (!isFloatElement(element)) return stored(element, Number(text));
    return text.startsWith("-") ? undefined : floatOfBits(element, Number(text));
  }
  return /^-?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)$/.test(text) ? stored(element, Number(text)) : undefined;
}

function floatOfBits(element: string, bits: number): number | undefined {
  const view = new DataView(new ArrayBuffer(4));
  if (element === "f32" && bits <= 0xffffffff) view.setUint32(0, bits);
  else if (element === "bf16" && bits <= 0xffff) view.setUint32(0, bits * 0x10000);
  else return undefined;
  return view.getFloat32(0);
}

/** Elements one after the other in little-endian order, or one element for all. */
function fromBytes(type: ItemType, hex: string, size: number): Item | string {
  const bytes = Buffer.from(hex, "hex");
  const width = { f32: 4, bf16: 2, i32: 4, ui32: 4, i64: 8, ui64: 8, i8: 1, ui8: 1 }[type.element];
  if (width === undefined || bytes.length * 2 !== hex.length) return `its bytes are not elements of type ${type.element}`;
  const count = bytes.length / width;
  if (count !== size && count !== 1) return `its literal has ${count} elements, and its type ${size}`;
  const data = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const value = readElement(type.element, bytes, i * width);
    if (value === undefined) return "its literal has an integer that a double cannot store";
    data[i] = value;
  }
  if (count === 1) return uniform(type, data[0] ?? 0);
  return tooLarge(data) ?? knownItem(type, data);
}

function readElement(element: string, bytes: Buffer, at: number): number | undefined {
  switch (element) {
    case "f32":
      return bytes.readFloatLE(at);
    case "bf16":
      return floatOfBits("bf16", bytes.readUInt16LE(at));
    case "i32":
      return bytes.readInt32LE(at);
    case "ui32":
      return bytes.readUInt32LE(at);
    case "i8":
      return bytes.readInt8(at);
    case "ui8":
      return bytes.readUInt8(at);
    default:
      return stored(element, Number(element === "i64" ? bytes.readBigInt64LE(at) : bytes.readBigUInt64LE(at)));
  }
}
