import type { FunctionNames } from "./load-library.js";
import type { NativeId } from "./native-id.js";
import { type Segments, encodeList, encodeSegments } from "./segments.js";

/** The memory that the workers of a program share on one machine. */
export type SpaceId = NativeId<"space">;
/** One collective of a program through shared memory. */
export type ExchangeId = NativeId<"exchange">;

/** The exports of the kernels library for messages through shared memory (Linux only). */
export interface ExchangeFunctions {
  /** @returns the space and the file descriptor of its outbox, or undefined if the allocation fails */
  createSpace(self: number, workers: number, regionBytes: Float64Array): readonly [space: SpaceId, file: number] | undefined;
  /** @returns whether the outbox of another worker is mapped. It must have the size of the own outbox. */
  openOutbox(space: SpaceId, worker: number, path: string): boolean;
  closeSpace(space: SpaceId, exchanges: Float64Array): void;
  /** @param code of `encodeExchange` */
  registerExchange(space: SpaceId, code: Float64Array): ExchangeId;
  /** Waits until the readers have read the previous message. @returns false after the timeout */
  canSend(exchange: ExchangeId, timeoutUs: number): boolean;
  /** Waits until all parts have arrived. @returns false after the timeout */
  canReceive(exchange: ExchangeId, timeoutUs: number): boolean;
  /** @returns the sender of a message with a wrong checksum, or -1 */
  damagedBy(exchange: ExchangeId): number;
  /** CRC-32, continued from the checksum of the bytes before. */
  crc32(bytes: Uint8Array, previous: number): number;
}

export const exchangeFunctions: FunctionNames<ExchangeFunctions> = {
  createSpace: true,
  openOutbox: true,
  closeSpace: true,
  registerExchange: true,
  canSend: true,
  canReceive: true,
  damagedBy: true,
  crc32: true,
};

/** How the members of a group combine their parts. */
type ExchangeReduction = "join" | "sum" | "max" | "min";

/** The numbers of `Reduction` in cpp/kernels/exchange.h. */
const reductionCodes: Readonly<Record<ExchangeReduction, number>> = { join: 0, sum: 1, max: 2, min: 3 };

/** The input of the library for a collective. Sizes are in elements of 4 bytes. */
export interface ExchangePlan {
  readonly region: number;
  /** The position of this worker in `group`. */
  readonly member: number;
  /** Workers, in the order in which a reduction adds. */
  readonly group: readonly number[];
  readonly partSize: number;
  readonly outputDims: readonly number[];
  /** The part that each member receives of an operand. Without it every member receives the whole operand. */
  readonly split: Segments | undefined;
  /** A reduction, or the segments at which `join` writes the part of each member. */
  readonly combine: Exclude<ExchangeReduction, "join"> | { readonly join: Segments };
}

/** The numbers that `registerExchange` reads. */
export function encodeExchange({ region, member, group, partSize, outputDims, split, combine }: ExchangePlan): Float64Array {
  const reduction = typeof combine === "string" ? combine : "join";
  return Float64Array.from([
    region,
    member,
    reductionCodes[reduction],
    partSize,
    ...encodeList(group),
    ...encodeList(outputDims),
    ...(split === undefined ? [0] : [1, ...encodeSegments(split)]),
    ...(typeof combine === "string" ? [] : encodeSegments(combine.join)),
  ]);
}
