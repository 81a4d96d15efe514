import { assert, LapidaryError } from "@lapidary/std";

/** The operations of a worker group that collectives use. */
export interface Exchange {
  readonly self: number;
  exchange(tag: string, sends: ReadonlyMap<number, Uint8Array>, from: readonly number[]): Promise<Map<number, Uint8Array<ArrayBuffer>>>;
  /** A buffer with unspecified contents, for results. */
  acquire(bytes: number): Uint8Array<ArrayBuffer>;
  recycle(buffer: ArrayBufferView): void;
}

/** Arrays that can be reduced; both have 4 bytes per element. */
export type NumberArray = Float32Array | Int32Array;

export type Reduction = "sum" | "max" | "min";

/** Up to this size, each member of an all-reduce sends all its values to all others (one round trip); above, each reduces its share (two). */
const maxDirectBytes = 64 * 1024;

/** The bytes of every member, in the order of `group`; its own bytes are copied. */
export async function allGather(
  peers: Exchange,
  tag: string,
  group: readonly number[],
  bytes: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>[]> {
  checkGroup(peers, group);
  const received = await peers.exchange(tag, new Map(group.map((peer) => [peer, bytes])), group);
  return group.map((peer) => receivedFrom(received, peer));
}

/**
 * `chunks[i]` goes to the i-th member; returns the reduction of the chunks for this member, in a new array. Elements are
 * combined in the order of `group`, in the arithmetic of the array (a sum of Float32Array rounds to f32 after each term).
 * The result therefore does not depend on the order of arrival.
 *
 * @throws LAP_FABRIC_COLLECTIVE if the members send different sizes
 */
export async function reduceScatter<T extends NumberArray>(
  peers: Exchange,
  tag: string,
  group: readonly number[],
  chunks: readonly T[],
  reduction: Reduction,
): Promise<T> {
  const rank = checkGroup(peers, group);
  assert(chunks.length === group.length, "a reduce-scatter has one chunk for each member", chunks.length, group.length);
  const own = chunks[rank] as T;
  const others = group.filter((peer) => peer !== peers.self);
  const sends = new Map(group.flatMap((peer, i) => (peer === peers.self ? [] : [[peer, bytesOf(chunks[i] as T)] as const])));
  const received = await peers.exchange(tag, sends, others);
  const parts = group.map((peer) => (peer === peers.self ? own : viewLike(own, receivedFrom(received, peer), tag, peer)));
  const result = reduceParts(peers, parts, reduction);
  for (const bytes of received.values()) peers.recycle(bytes);
  return result;
}

/**
 * The reduction of `values` over the group, in a new array, bit-identical on every member: each element is reduced in the
 * order of `group`, either by every member or by one member for all.
 *
 *   small:   every member sends all values to all others and reduces them     1 round trip, (n-1)·bytes sent
 *   large:   reduce_scatter of n shares, then all_gather of the results       2 round trips, 2(n-1)/n·bytes sent
 *
 * @throws LAP_FABRIC_COLLECTIVE if the members send different sizes
 */
export async function allReduce<T extends NumberArray>(
  peers: Exchange,
  tag: string,
  group: readonly number[],
  values: T,
  reduction: Reduction,
): Promise<T> {
  const rank = checkGroup(peers, group);
  if (values.byteLength <= maxDirectBytes || group.length === 1)
    return reduceScatter(
      peers,
      tag,
      group,
      group.map(() => values),
      reduction,
    );
  const share = Math.ceil(values.length / group.length);
  const shares = group.map((_, i) => sub(values, i * share, (i + 1) * share));
  const reduced = await reduceScatter(peers, `${tag}/reduce`, group, shares, reduction);
  const others = group.filter((peer) => peer !== peers.self);
  const received = await peers.exchange(`${tag}/gather`, new Map(others.map((peer) => [peer, bytesOf(reduced)])), others);
  const result = castLike(values, peers.acquire(values.byteLength));
  group.forEach((peer, i) => {
    result.set(i === rank ? reduced : viewLike(shares[i] as T, receivedFrom(received, peer), tag, peer), i * share);
  });
  for (const bytes of received.values()) peers.recycle(bytes);
  peers.recycle(reduced);
  return result;
}

/** Elementwise over `parts`, left to right. */
function reduceParts<T extends NumberArray>(peers: Exchange, parts: readonly T[], reduction: Reduction): T {
  const first = parts[0] as T;
  const second = parts[1];
  const result = castLike(first, peers.acquire(first.byteLength));
  if (second === undefined) {
    result.set(first);
    return result;
  }
  combine(result, first, second, reduction);
  for (const part of parts.slice(2)) combine(result, result, part, reduction);
  return result;
}

/** `out = a ∘ b`; the result is NaN if either operand is NaN, as on the chip. */
function combine(out: NumberArray, a: NumberArray, b: NumberArray, reduction: Reduction): void {
  const count = out.length;
  switch (reduction) {
    case "sum":
      for (let i = 0; i < count; i++) out[i] = (a[i] as number) + (b[i] as number);
      return;
    case "max":
      for (let i = 0; i < count; i++) out[i] = Math.max(a[i] as number, b[i] as number);
      return;
    case "min":
      for (let i = 0; i < count; i++) out[i] = Math.min(a[i] as number, b[i] as number);
  }
}

/** Rank of this worker in the group. */
function checkGroup(peers: Exchange, group: readonly number[]): number {
  const rank = group.indexOf(peers.self);
  assert(rank >= 0, "the caller of a collective is a member of its group", peers.self, group);
  assert(new Set(group).size === group.length, "a group contains each member once", group);
  return rank;
}

function receivedFrom(received: ReadonlyMap<number, Uint8Array<ArrayBuffer>>, peer: number): Uint8Array<ArrayBuffer> {
  const bytes = received.get(peer);
  assert(bytes !== undefined, "an exchange returns a buffer from each awaited peer", peer);
  return bytes;
}

/** The received bytes as an array with the type and length of `like`. */
function viewLike<T extends NumberArray>(like: T, bytes: Uint8Array<ArrayBuffer>, tag: string, peer: number): T {
  if (bytes.byteLength !== like.byteLength)
    throw new LapidaryError({
      code: "LAP_FABRIC_COLLECTIVE",
      message: `size mismatch in collective ${tag}: worker ${peer} sent ${bytes.byteLength} bytes, expected ${like.byteLength}`,
      location: `worker ${peer}`,
    });
  return castLike(like, bytes);
}

function castLike<T extends NumberArray>(like: T, bytes: Uint8Array<ArrayBuffer>): T {
  const length = bytes.byteLength / 4;
  return (
    like instanceof Float32Array
      ? new Float32Array(bytes.buffer, bytes.byteOffset, length)
      : new Int32Array(bytes.buffer, bytes.byteOffset, length)
  ) as T;
}

function sub<T extends NumberArray>(values: T, start: number, end: number): T {
  return values.subarray(start, end) as T;
}

function bytesOf(values: NumberArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
