import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError, ensure, normalAt, seededRandom } from "@lapidary/std";
import { connectPeers } from "./connect-peers.js";
import { PeerLostError } from "./errors.js";
import type { Peers } from "./peers.js";
import { pattern } from "./testing/inbox.js";
import { memoryPeers } from "./testing/memory.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;
const lost =
  (peer: number) =>
  (error: unknown): boolean =>
    error instanceof PeerLostError && error.peer === peer;

/** Runs `work` on every worker concurrently. */
function all<T>(workers: readonly Peers[], work: (peers: Peers) => Promise<T>): Promise<T[]> {
  return Promise.all(workers.map(work));
}

function peersSuite(name: string, assemble: (size: number) => Promise<Peers[]>): void {
  describe(`peers over ${name}`, () => {
    let workers: Peers[] = [];
    const assembled = async (size: number): Promise<Peers[]> => {
      workers = await assemble(size);
      return workers;
    };
    afterEach(async () => {
      await all(workers.splice(0), (peers) => peers.close());
    });

    it("exchange sends and receives a buffer for each rank, the own rank included", async () => {
      const ranks = [0, 1, 2, 3];
      const results = await all(await assembled(4), (peers) =>
        peers.exchange("x", new Map(ranks.map((to) => [to, pattern(100 + to, peers.self + 1)])), ranks),
      );
      results.forEach((received, self) => {
        for (const from of ranks)
          deepStrictEqual(Buffer.from(ensure(received.get(from), "bytes")), Buffer.from(pattern(100 + self, from + 1)));
      });
    });

    it("exchanges in flight do not mix, in any order of calls, and early buffers are kept", async () => {
      const [a, b] = await assembled(2);
      ok(a !== undefined && b !== undefined);
      const random = seededRandom(11);
      const tags = Array.from({ length: 40 }, (_, i) => `op${i}`);
      const shuffled = [...tags].sort(() => random.next() - 0.5);
      const exchange = (peers: Peers, other: number, tag: string) =>
        peers.exchange(tag, new Map([[other, Buffer.from(`${tag} of ${peers.self}`)]]), [other]);
      const [ofA, ofB] = await Promise.all([
        Promise.all(tags.map((tag) => exchange(a, 1, tag))),
        Promise.all(shuffled.map((tag) => exchange(b, 0, tag))),
      ]);
      tags.forEach((tag, i) => strictEqual(Buffer.from(ensure(ofA[i]?.get(1), tag)).toString(), `${tag} of 1`));
      shuffled.forEach((tag, i) => strictEqual(Buffer.from(ensure(ofB[i]?.get(0), tag)).toString(), `${tag} of 0`));
    });

    it("allGather returns buffers of different sizes in the order of the group", async () => {
      const group = [2, 0, 1];
      const results = await all(await assembled(3), (peers) => peers.allGather("g", group, pattern(10 * peers.self, peers.self)));
      for (const parts of results)
        deepStrictEqual(
          parts.map((part) => Buffer.from(part)),
          group.map((rank) => Buffer.from(pattern(10 * rank, rank))),
        );
    });

    for (const length of [1, 5, 1000, 40_001])
      it(`allReduce sums ${length} numbers in the order of the group, bit-identical on every member`, async () => {
        const group = [1, 3, 0];
        const values = (rank: number): Float32Array => Float32Array.from({ length }, (_, i) => normalAt(rank, i) * 10 ** (i % 7));
        const expected = new Float32Array(length);
        for (const rank of group) values(rank).forEach((value, i) => (expected[i] = (expected[i] as number) + value));
        const members = (await assembled(4)).filter((peers) => group.includes(peers.self));
        for (const sum of await all(members, (peers) => peers.allReduce("sum", group, values(peers.self)))) deepStrictEqual(sum, expected);
      });

    it("allReduce computes maximum and minimum, and propagates NaN", async () => {
      const members = await assembled(2);
      const values = (rank: number): Float32Array => (rank === 0 ? Float32Array.of(1, -5, Number.NaN, 2) : Float32Array.of(0, -6, 1, 3));
      for (const max of await all(members, (peers) => peers.allReduce("max", [0, 1], values(peers.self), "max")))
        deepStrictEqual([...max], [1, -5, Number.NaN, 3]);
      for (const min of await all(members, (peers) => peers.allReduce("min", [0, 1], values(peers.self), "min")))
        deepStrictEqual([...min], [0, -6, Number.NaN, 2]);
    });

    it("reduceScatter reduces integer chunks of different sizes to their members", async () => {
      const group = [0, 1, 2];
      const results = await all(await assembled(3), (peers) =>
        peers.reduceScatter(
          "rs",
          group,
          group.map((to) => Int32Array.from({ length: 2 + to }, (_, i) => 100 * peers.self + 10 * to + i)),
        ),
      );
      results.forEach((sum, self) =>
        deepStrictEqual(
          [...sum],
          Array.from({ length: 2 + self }, (_, i) => 300 + 3 * (10 * self + i)),
        ),
      );
    });

    it("allReduce does not change its inputs, and works repeatedly on recycled buffers", async () => {
      const members = await assembled(2);
      const inputs = [0, 1].map((rank) => Float32Array.from({ length: 30_000 }, (_, i) => rank + i));
      for (let step = 0; step < 5; step++)
        await all(members, async (peers) => {
          const sum = await peers.allReduce(`step${step}`, [0, 1], ensure(inputs[peers.self], "input"));
          sum.forEach((value, i) => strictEqual(value, 2 * i + 1));
          peers.recycle(sum);
        });
      inputs.forEach((input, rank) => input.forEach((value, i) => strictEqual(value, rank + i)));
    });

    it("allReduce rejects inputs of different sizes", async () => {
      const members = await assembled(2);
      await rejects(
        all(members, (peers) => peers.allReduce("bad", [0, 1], new Float32Array(3 + peers.self))),
        code("LAP_FABRIC_COLLECTIVE"),
      );
    });

    it("abort rejects current and later operations with its error, and the other workers report the rank that aborted", async () => {
      const members = await assembled(3);
      const [a, b, c] = members;
      ok(a !== undefined && b !== undefined && c !== undefined);
      const pending = [a.exchange("1", new Map(), [1]), a.exchange("2", new Map(), [2])];
      const waiting = [b.exchange("1", new Map(), [0]), b.exchange("2", new Map(), [2])];
      const reason = new LapidaryError({ code: "LAP_JOB_CANCELLED", message: "cancelled", remedy: "none" });
      a.abort(reason);
      for (const operation of pending) await rejects(operation, reason);
      await rejects(a.exchange("3", new Map([[1, pattern(3)]]), []), reason);
      for (const operation of waiting) await rejects(operation, lost(0));
      strictEqual((await c.lost).peer, 0);
    });

    it("after a peer closes cleanly, only the operations that wait for it fail", async () => {
      const [a, b, c] = await assembled(3);
      ok(a !== undefined && b !== undefined && c !== undefined);
      const lastSend = c.exchange("last", new Map([[0, pattern(5)]]), []);
      await lastSend;
      await c.close();
      deepStrictEqual(Buffer.from(ensure((await a.exchange("last", new Map(), [2])).get(2), "bytes")), Buffer.from(pattern(5)));
      await rejects(a.exchange("more", new Map(), [2]), lost(2));
      await rejects(a.exchange("more", new Map([[2, pattern(1)]]), []), lost(2));
      const [ofA] = await all([a, b], (peers) => peers.exchange("still", new Map([[1 - peers.self, pattern(9)]]), [1 - peers.self]));
      strictEqual(ofA?.get(1)?.byteLength, 9);
    });

    it("a group of one worker reduces its own values", async () => {
      const [alone] = await assembled(1);
      deepStrictEqual(await alone?.allReduce("x", [0], Float32Array.of(1, 2)), Float32Array.of(1, 2));
    });
  });
}

describe("peers", () => {
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lap-peers-"));
  });
  after(() => rmSync(directory, { recursive: true }));
  const paths = (size: number): string[] => Array.from({ length: size }, (_, rank) => join(directory, `${rank}.sock`));

  peersSuite("memory", (size) => memoryPeers(size));
  peersSuite("unix sockets", (size) => Promise.all(paths(size).map((_, self) => connectPeers({ self, paths: paths(size), epoch: 7 }))));

  it("workers join in any order, and no socket remains", async () => {
    const workers: Promise<Peers>[] = [];
    for (const self of [2, 0, 1]) {
      workers.push(connectPeers({ self, paths: paths(3), epoch: 1 }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const members = await Promise.all(workers);
    deepStrictEqual(readdirSync(directory), []);
    await all(members, (peers) => peers.close());
  });

  it("connectPeers reports the rank of a worker that does not join in time", async () => {
    await rejects(connectPeers({ self: 1, paths: paths(2), epoch: 1, timeoutMs: 50 }), lost(0));
    await rejects(connectPeers({ self: 0, paths: paths(2), epoch: 1, timeoutMs: 50 }), lost(1));
    deepStrictEqual(readdirSync(directory), []);
  });

  it("connectPeers rejects a worker of another epoch, and joins the one of its own", async () => {
    const first = connectPeers({ self: 0, paths: paths(2), epoch: 2 });
    await rejects(connectPeers({ self: 1, paths: paths(2), epoch: 1 }), code("LAP_FABRIC_EPOCH"));
    const second = connectPeers({ self: 1, paths: paths(2), epoch: 2 });
    await all(await Promise.all([first, second]), (peers) => peers.close());
  });

  const damage = (parts: readonly Uint8Array[], part: number): Uint8Array[] =>
    parts.map((bytes, i) => (i === part ? Uint8Array.from(bytes, (byte, at) => (at === bytes.length >> 1 ? byte ^ 4 : byte)) : bytes));
  for (const [fault, expected, applyFault] of [
    ["whose payload has a flipped bit", "LAP_FABRIC_FRAME", ([parts]) => damage(parts ?? [], 1)],
    ["whose header has a flipped bit", "LAP_FABRIC_FRAME", ([parts]) => damage(parts ?? [], 0)],
    ["cut", "LAP_FABRIC_FRAME", ([parts, next]) => [...(parts ?? []).map((part, i) => part.subarray(9 * i)), ...(next ?? [])]],
    ["repeated", "LAP_FABRIC_SEQUENCE", ([parts, next]) => [...(parts ?? []), ...(parts ?? []), ...(next ?? [])]],
    ["lost", "LAP_FABRIC_SEQUENCE", ([, next]) => next ?? []],
    ["reordered with the next", "LAP_FABRIC_SEQUENCE", ([parts, next]) => [...(next ?? []), ...(parts ?? [])]],
  ] as [string, string, (frames: readonly (readonly Uint8Array[])[]) => readonly Uint8Array[]][])
    it(`a frame ${fault} on the wire is not delivered, and the receiver reports its sender as lost`, async () => {
      const held: (readonly Uint8Array[])[] = [];
      let fired = 0;
      const workers = await Promise.all(
        paths(2).map((_, self) =>
          connectPeers({
            self,
            paths: paths(2),
            epoch: 1,
            injectFault: (parts) => {
              if (self === 1 || parts.length < 2 || fired > 0) return parts;
              held.push(parts);
              if (held.length < 2) return [];
              fired++;
              return applyFault(held);
            },
          }),
        ),
      );
      const delivered: Buffer[] = [];
      const [victim, next] = ["victim", "next"].map((tag) =>
        all(workers, async (peers) => {
          const received = await peers.exchange(tag, new Map([[1 - peers.self, pattern(50_000)]]), [1 - peers.self]);
          if (peers.self === 1) delivered.push(Buffer.from(ensure(received.get(0), "bytes")));
        }),
      );
      await rejects(Promise.all([victim, next]), (error) => error instanceof PeerLostError);
      const { peer, code: reportedCode, cause } = await ensure(workers[1], "receiver").lost;
      strictEqual(reportedCode, "LAP_FABRIC_DAMAGED");
      strictEqual(peer, 0);
      strictEqual((cause as LapidaryError).code, expected);
      strictEqual(fired, 1);
      for (const bytes of delivered) ok(bytes.equals(pattern(50_000)));
      await all(workers, (peers) => peers.close());
    });
});
