import type { Peers } from "@lapidary/fabric";
import { assert, must } from "@lapidary/std";
import type { Copies } from "./copies.js";
import type { Offer } from "./copy-rooms.js";

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
  readonly offer: Offer | undefined;
  readonly copies: Copies;
}

/**
 * Gives a copy to the next worker and takes that of the one before, all workers at once:
 *
 *     offer    ──► next          where the copy may be read
 *     answer   ──► previous      whether it was read; until then its memory stays as it is
 *     bytes    ──► next          only if it could not
 *
 * @returns the copy of the worker before, in memory of this one's own
 */
export async function giveCopy({ peers, next, previous, tag, bytes, offer, copies }: GiveOptions): Promise<Uint8Array<ArrayBuffer>> {
  const offered = await peers.exchange(`${tag}/offer`, new Map([[next, encode(offer)]]), [previous]);
  const readable = copies.rooms.read(decode(must(offered.get(previous), "offer")), bytes.byteLength);
  let theirs: Uint8Array<ArrayBuffer> | undefined;
  if (readable !== undefined) {
    theirs = copies.take(bytes.byteLength);
    theirs.set(readable);
  }
  const answers = await peers.exchange(`${tag}/answer`, new Map([[previous, Uint8Array.of(theirs === undefined ? 0 : 1)]]), [next]);
  const wasRead = must(answers.get(next), "answer")[0] === 1;
  if (wasRead && theirs !== undefined) return theirs;
  const sent = await peers.exchange(`${tag}/bytes`, new Map(wasRead ? [] : [[next, bytes]]), theirs === undefined ? [previous] : []);
  const taken = theirs ?? (must(sent.get(previous), "copy") as Uint8Array<ArrayBuffer>);
  assert(taken.byteLength === bytes.byteLength, "blocks of all workers are of one size", taken.byteLength, bytes.byteLength);
  return taken;
}

const encode = (offer: Offer | undefined): Uint8Array =>
  Buffer.from(JSON.stringify({ path: offer?.path ?? null, id: offer?.id ?? "" } satisfies Offer), "utf8");

const decode = (bytes: Uint8Array): Offer => JSON.parse(Buffer.from(bytes).toString("utf8")) as Offer;
