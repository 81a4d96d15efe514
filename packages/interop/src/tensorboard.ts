/**
 * The format of TensorBoard event files: a sequence of records, each an `Event` message.
 *
 *     u64 length │ u32 masked CRC-32C of the length │ the message │ u32 masked CRC-32C of the message        little-endian
 *
 *     Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
 *     Summary { repeated Value value = 1 }      Value { string tag = 1; float simple_value = 2 }
 *
 * Source: tensorflow/core/util/event.proto, summary.proto, lib/io/record_writer.h.
 */
export interface ScalarEvent {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly step: number;
  /** Tag to value: `train/loss`. */
  readonly scalars: Readonly<Record<string, number>>;
}

/** The first record of an event file. @param time milliseconds since the epoch */
export function tensorboardHeader(time: number): Uint8Array {
  return record(bytes(double(1, time / 1000), string(3, "brain.Event:2")));
}

export function tensorboardEvent({ time, step, scalars }: ScalarEvent): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) => message(1, bytes(string(1, tag), float(2, value))));
  return record(bytes(double(1, time / 1000), varint(2, step), message(5, bytes(...values))));
}

/** `events.out.tfevents.1700000000.lapidary`. TensorBoard reads the files of a directory in the order of their names. */
export const tensorboardFileName = (time: number, host = "lapidary"): string => `events.out.tfevents.${Math.floor(time / 1000)}.${host}`;

function record(data: Uint8Array): Uint8Array {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(data.length), true);
  return bytes(length, uint32(masked(crc32c(length))), data, uint32(masked(crc32c(data))));
}

/** Masks a CRC (rotate and add), because the CRC of data that contains CRCs is weak. */
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = (c & 1) === 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});

/** Castagnoli's polynomial, as in iSCSI. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}

// ---- protocol buffers ----

function bytes(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const tagOf = (field: number, wire: number): Uint8Array => base128(field * 8 + wire);

const varint = (field: number, value: number): Uint8Array => bytes(tagOf(field, 0), base128(value));

function double(field: number, value: number): Uint8Array {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setFloat64(0, value, true);
  return bytes(tagOf(field, 1), data);
}

function float(field: number, value: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setFloat32(0, value, true);
  return bytes(tagOf(field, 5), data);
}

const message = (field: number, data: Uint8Array): Uint8Array => bytes(tagOf(field, 2), base128(data.length), data);

const string = (field: number, text: string): Uint8Array => message(field, new TextEncoder().encode(text));

function base128(value: number): Uint8Array {
  const data: number[] = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    data.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(data);
}

function uint32(value: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value, true);
  return data;
}
