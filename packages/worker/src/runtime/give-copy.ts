import type { Peers } from "@lapidary/fabric";
import { type CopyOffer, decodeOffer } from "@lapidary/protocol";
import { type JsonValue, assert, must } from "@lapidary/std";
import type { Copies } from "./copies.js";
import type { Reading, Room } from "./copy-rooms.js";

export interface GiveOptions {
  readonly peers: Peers;
  /** Rank of the worker that is given the copy. */
  readonly next: number;
  /** Rank of the worker whose copy is taken. */
  readonly previous: number;
  /** Of this copy alone. */
  readonly tag: string;
  /** Of this worker's blocks. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the next worker may read them; undefined: nowhere. */
  readonly room: Room | undefined;
  readonly copies: Copies;
}

/**
 * Gives a copy to the next worker and takes that of the one before, all workers at once:
 *
 *     offer    ──► next          where the copy lies
 *     answer   ──► previous      whether it can be read there
 *     bytes    ──► next          only if it cannot
 *
 * @returns the copy of the worker before: where that one has laid it, or in memory of this one's own
 */
export async function giveCopy({ peers, next, previous, tag, bytes, room, copies }: GiveOptions): Promise<Reading> {
  const offered = await peers.exchange(`${tag}/offer`, new Map([[next, encode(copies.rooms.offer(room))]]), [previous]);
  const reading = copies.rooms.read(decode(must(offered.get(previous), "offer"), previous), bytes.byteLength);
  const answers = await peers.exchange(`${tag}/answer`, new Map([[previous, Uint8Array.of(reading === undefined ? 0 : 1)]]), [next]);
  const isRead = must(answers.get(next), "answer")[0] === 1;
  if (isRead && reading !== undefined) return reading;
  const sent = await peers.exchange(`${tag}/bytes`, new Map(isRead ? [] : [[next, bytes]]), reading === undefined ? [previous] : []);
  if (reading !== undefined) return reading;
  const taken = must(sent.get(previous), "copy") as Uint8Array<ArrayBuffer>;
  assert(taken.byteLength === bytes.byteLength, "blocks of all workers are of one size", taken.byteLength, bytes.byteLength);
  return { bytes: taken };
}

const encode = (offer: CopyOffer): Uint8Array => Buffer.from(JSON.stringify(offer), "utf8");

/** Workers do not say hello with their build: one coordinator has started or taken over all of them. */
const decode = (bytes: Uint8Array, previous: number): CopyOffer =>
  decodeOffer(JSON.parse(Buffer.from(bytes).toString("utf8")) as JsonValue, { name: `worker ${previous}`, build: "unknown" });
