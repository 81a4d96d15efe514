/**
 * The wire format of protocol buffers: a message is a sequence of fields, each a number, a type and a value
 * (protobuf.dev/programming-guides/encoding).
 */

/** One field of a message. Numbers of 32 bits are signed; the bytes of a string or message are a view of the message. */
export type WireField =
  | { readonly number: number; readonly kind: "varint"; readonly value: number }
  | { readonly number: number; readonly kind: "float"; readonly value: number }
  | { readonly number: number; readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly number: number; readonly kind: "fixed64" };

/** The bytes are not a message. */
export class WireError extends Error {}

/**
 * The fields of a message, in order.
 *
 * @throws WireError
 */
export function* readFields(message: Uint8Array): Generator<WireField> {
  const reader = new WireReader(message);
  while (!reader.isAtEnd) yield reader.field();
}

class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  field(): WireField {
    const tag = this.#varint() >>> 0;
    const number = tag >>> 3;
    if (number === 0) throw new WireError(`a field before byte ${this.#at} has the number 0`);
    switch (tag & 7) {
      case 0:
        return { number, kind: "varint", value: this.#varint() };
      case 1:
        this.#take(8);
        return { number, kind: "fixed64" };
      case 2: {
        const length = this.#varint() >>> 0;
        const start = this.#take(length);
        return { number, kind: "bytes", value: this.#bytes.subarray(start, start + length) };
      }
      case 5:
        return { number, kind: "float", value: this.#view.getFloat32(this.#take(4), true) };
      default:
        throw new WireError(`field ${number} before byte ${this.#at} has the unknown type ${tag & 7}`);
    }
  }

  /** The start of the next `length` bytes, which are consumed. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw new WireError(`the file ends inside the field at byte ${start}`);
    this.#at = start + length;
    return start;
  }

  /** The low 32 bits: no field of a model needs more. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#take(1)] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new WireError(`the number at byte ${this.#at} has more than ten bytes`);
  }
}

/** Writes the fields of a message. */
export class WireWriter {
  readonly #parts: Uint8Array[] = [];

  varint(number: number, value: number): this {
    this.#parts.push(varint(number * 8), varint(value));
    return this;
  }

  float(number: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.#parts.push(varint(number * 8 + 5), bytes);
    return this;
  }

  bytes(number: number, value: Uint8Array): this {
    this.#parts.push(varint(number * 8 + 2), varint(value.length), value);
    return this;
  }

  text(number: number, value: string): this {
    return this.bytes(number, Buffer.from(value, "utf8"));
  }

  end(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

/** @param value an integer; negative numbers have ten bytes, as in protocol buffers */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
