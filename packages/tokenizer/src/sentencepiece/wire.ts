/**
 * The wire format of protocol buffers: a message is a sequence of fields, each a number, a type and a value
 * (protobuf.dev/programming-guides/encoding).
 */

/** One field of a message. Numbers of 32 bits are signed. */
export type WireField =
  | { readonly number: number; readonly kind: "varint"; readonly value: number }
  | { readonly number: number; readonly kind: "float"; readonly value: number }
  | BytesField
  | { readonly number: number; readonly kind: "fixed64" };

/** A string or message. It is read where it is in the file, because a view of each of 256,000 pieces takes longer than its text. */
export class BytesField {
  readonly kind = "bytes";

  constructor(
    readonly number: number,
    private readonly file: WireFile,
    private readonly start: number,
    private readonly end: number,
  ) {}

  get value(): Uint8Array {
    return this.file.bytes.subarray(this.start, this.end);
  }

  get text(): string {
    return this.file.bytes.toString("utf8", this.start, this.end);
  }

  /** The fields of the message. @throws WireError */
  fields(): Generator<WireField> {
    return fieldsOf(this.file, this.start, this.end);
  }
}

interface WireFile {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** The bytes are not a message. */
export class WireError extends Error {}

/**
 * The fields of a message, in order.
 *
 * @throws WireError
 */
export function readFields(message: Uint8Array): Generator<WireField> {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  return fieldsOf({ bytes, view: new DataView(message.buffer, message.byteOffset, message.byteLength) }, 0, bytes.length);
}

function* fieldsOf(file: WireFile, start: number, end: number): Generator<WireField> {
  const reader = new WireReader(file, start, end);
  while (!reader.isAtEnd) yield reader.field();
}

class WireReader {
  readonly #file: WireFile;
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(file: WireFile, start: number, end: number) {
    [this.#file, this.#bytes, this.#at, this.#end] = [file, file.bytes, start, end];
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#end;
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
        return new BytesField(number, this.#file, start, start + length);
      }
      case 5:
        return { number, kind: "float", value: this.#file.view.getFloat32(this.#take(4), true) };
      default:
        throw new WireError(`field ${number} before byte ${this.#at} has the unknown type ${tag & 7}`);
    }
  }

  /** The start of the next `length` bytes, which are consumed. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) throw new WireError(`the file ends inside the field at byte ${start}`);
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
