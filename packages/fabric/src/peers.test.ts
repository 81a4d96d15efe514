import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError, must, normalAt, seededRandom } from "@lapidary/std";
import { connectPeers, memoryPeers, PeerLostError, type Peers } from "./index.js";
import { pattern } from "./testing/inbox.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;
const lost =
  (peer: number) =>
  (error: unknown): boolean =>
    error instanceof PeerLostError && error.peer === peer;

/** Runs `work` on every member at once. */
function all<T>(gang: readonly Peers[], work: (peers: Peers) => Promise<T>): Promise<T[]> {
  return Promise.all(gang.map(work));
}

function peersSuite(name: string, assemble: (size: number) => Promise<Peers[]>): void {
  describe(`peers over ${name}`, () => {
    let gang: Peers[] = [];
    const assembled = async (size: number): Promise<Peers[]> => {
      gang = await assemble(size);
      return gang;
    };
    afterEach(async () => {
      await all(gang.splice(0), (peers) => peers.close());
    });

    it("exchanges a buffer with each peer, oneself included", async () => {
      const everyone = [0, 1, 2, 3];
      const results = await all(await assembled(4), (peers) =>
        peers.exchange("x", new Map(everyone.map((to) => [to, pattern(100 + to, peers.self + 1)])), everyone),
      );
      results.forEach((received, self) => {
        for (const from of everyone)
          deepStrictEqual(Buffer.from(must(received.get(from), "bytes")), Buffer.from(pattern(100 + self, from + 1)));
      });
    });

    it("keeps what comes early, and several operations in flight apart, in whatever order they are asked for", async () => {
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
      tags.forEach((tag, i) => strictEqual(Buffer.from(must(ofA[i]?.get(1), tag)).toString(), `${tag} of 1`));
      shuffled.forEach((tag, i) => strictEqual(Buffer.from(must(ofB[i]?.get(0), tag)).toString(), `${tag} of 0`));
    });

    it("gathers buffers of different sizes in the order of the group", async () => {
      const group = [2, 0, 1];
      const results = await all(await assembled(3), (peers) => peers.allGather("g", group, pattern(10 * peers.self, peers.self)));
      for (const parts of results)
        deepStrictEqual(
          parts.map((part) => Buffer.from(part)),
          group.map((rank) => Buffer.from(pattern(10 * rank, rank))),
        );
    });

    for (const length of [1, 5, 1000, 40_001])
      it(`sums ${length} numbers bit for bit the same on every member, in the order of the group`, async () => {
        const group = [1, 3, 0];
        const values = (rank: number): Float32Array => Float32Array.from({ length }, (_, i) => normalAt(rank, i) * 10 ** (i % 7));
        const before = new Float32Array(length);
        for (const rank of group) values(rank).forEach((value, i) => (before[i] = (before[i] as number) + value));
        const members = (await assembled(4)).filter((peers) => group.includes(peers.self));
        for (const sum of await all(members, (peers) => peers.allReduce("sum", group, values(peers.self)))) deepStrictEqual(sum, before);
      });

    it("takes the maximum and the minimum, and lets a NaN through", async () => {
      const members = await assembled(2);
      const values = (rank: number): Float32Array => (rank === 0 ? Float32Array.of(1, -5, Number.NaN, 2) : Float32Array.of(0, -6, 1, 3));
      for (const max of await all(members, (peers) => peers.allReduce("max", [0, 1], values(peers.self), "max")))
        deepStrictEqual([...max], [1, -5, Number.NaN, 3]);
      for (const min of await all(members, (peers) => peers.allReduce("min", [0, 1], values(peers.self), "min")))
        deepStrictEqual([...min], [0, -6, Number.NaN, 2]);
    });

    it("reduce-scatters chunks of any size to their members, integers too", async () => {
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

    it("leaves its inputs alone and works over and over on recycled buffers", async () => {
      const members = await assembled(2);
      const inputs = [0, 1].map((rank) => Float32Array.from({ length: 30_000 }, (_, i) => rank + i));
      for (let step = 0; step < 5; step++)
        await all(members, async (peers) => {
          const sum = await peers.allReduce(`step${step}`, [0, 1], must(inputs[peers.self], "input"));
          sum.forEach((value, i) => strictEqual(value, 2 * i + 1));
          peers.recycle(sum);
        });
      inputs.forEach((input, rank) => input.forEach((value, i) => strictEqual(value, rank + i)));
    });

    it("refuses to reduce when the members disagree about the size", async () => {
      const members = await assembled(2);
      await rejects(
        all(members, (peers) => peers.allReduce("bad", [0, 1], new Float32Array(3 + peers.self))),
        code("LAP_FABRIC_COLLECTIVE"),
      );
    });

    it("rejects all that is in flight, and all later, with one error when aborted, and the others name the one that aborted", async () => {
      const members = await assembled(3);
      const [a, b, c] = members;
      ok(a !== undefined && b !== undefined && c !== undefined);
      const pending = [a.exchange("1", new Map(), [1]), a.exchange("2", new Map(), [2])];
      const waiting = [b.exchange("1", new Map(), [0]), b.exchange("2", new Map(), [2])];
      const reason = new LapidaryError({ code: "LAP_JOB_CANCELLED", message: "cancelled", remedy: "none" });
      a.abort(reason);
      for (const one of pending) await rejects(one, reason);
      await rejects(a.exchange("3", new Map([[1, pattern(3)]]), []), reason);
      for (const one of waiting) await rejects(one, lost(0));
      strictEqual((await c.lost).peer, 0);
    });

    it("lets a peer leave in good order, failing only what still waits for it", async () => {
      const [a, b, c] = await assembled(3);
      ok(a !== undefined && b !== undefined && c !== undefined);
      const farewell = c.exchange("last", new Map([[0, pattern(5)]]), []);
      await farewell;
      await c.close();
      deepStrictEqual(Buffer.from(must((await a.exchange("last", new Map(), [2])).get(2), "bytes")), Buffer.from(pattern(5)));
      await rejects(a.exchange("more", new Map(), [2]), lost(2));
      await rejects(a.exchange("more", new Map([[2, pattern(1)]]), []), lost(2));
      const [ofA] = await all([a, b], (peers) => peers.exchange("still", new Map([[1 - peers.self, pattern(9)]]), [1 - peers.self]));
      strictEqual(ofA?.get(1)?.byteLength, 9);
    });

    it("works alone", async () => {
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

  it("assembles whatever the order in which the workers start, and leaves no socket behind", async () => {
    const gang: Promise<Peers>[] = [];
    for (const self of [2, 0, 1]) {
      gang.push(connectPeers({ self, paths: paths(3), epoch: 1 }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const members = await Promise.all(gang);
    deepStrictEqual(readdirSync(directory), []);
    await all(members, (peers) => peers.close());
  });

  it("names the worker that does not come", async () => {
    await rejects(connectPeers({ self: 1, paths: paths(2), epoch: 1, timeoutMs: 50 }), lost(0));
    await rejects(connectPeers({ self: 0, paths: paths(2), epoch: 1, timeoutMs: 50 }), lost(1));
    deepStrictEqual(readdirSync(directory), []);
  });

  it("refuses a worker of another epoch, and assembles with the one of its own", async () => {
    const first = connectPeers({ self: 0, paths: paths(2), epoch: 2 });
    await rejects(connectPeers({ self: 1, paths: paths(2), epoch: 1 }), code("LAP_FABRIC_EPOCH"));
    const second = connectPeers({ self: 1, paths: paths(2), epoch: 2 });
    await all(await Promise.all([first, second]), (peers) => peers.close());
  });

  const damage = (parts: readonly Uint8Array[], part: number): Uint8Array[] =>
    parts.map((bytes, i) => (i === part ? Uint8Array.from(bytes, (byte, at) => (at === bytes.length >> 1 ? byte ^ 4 : byte)) : bytes));
  for (const [fault, expected, tamper] of [
    ["whose payload has a flipped bit", "LAP_FABRIC_FRAME", ([parts]) => damage(parts ?? [], 1)],
    ["whose header has a flipped bit", "LAP_FABRIC_FRAME", ([parts]) => damage(parts ?? [], 0)],
    ["cut", "LAP_FABRIC_FRAME", ([parts, next]) => [...(parts ?? []).map((part, i) => part.subarray(9 * i)), ...(next ?? [])]],
    ["repeated", "LAP_FABRIC_SEQUENCE", ([parts, next]) => [...(parts ?? []), ...(parts ?? []), ...(next ?? [])]],
    ["lost", "LAP_FABRIC_SEQUENCE", ([, next]) => next ?? []],
    ["overtaken by the next", "LAP_FABRIC_SEQUENCE", ([parts, next]) => [...(next ?? []), ...(parts ?? [])]],
  ] as [string, string, (frames: readonly (readonly Uint8Array[])[]) => readonly Uint8Array[]][])
    it(`gives a frame ${fault} on the wire up, names the peer it came from, and delivers nothing of it`, async () => {
      const held: (readonly Uint8Array[])[] = [];
      let fired = 0;
      const gang = await Promise.all(
        paths(2).map((_, self) =>
          connectPeers({
            self,
            paths: paths(2),
            epoch: 1,
            tamper: (parts) => {
              if (self === 1 || parts.length < 2 || fired > 0) return parts;
              held.push(parts);
              if (held.length < 2) return [];
              fired++;
              return tamper(held);
            },
          }),
        ),
      );
      const delivered: Buffer[] = [];
      const [victim, next] = ["victim", "next"].map((tag) =>
        all(gang, async (peers) => {
          const received = await peers.exchange(tag, new Map([[1 - peers.self, pattern(50_000)]]), [1 - peers.self]);
          if (peers.self === 1) delivered.push(Buffer.from(must(received.get(0), "bytes")));
        }),
      );
      await rejects(Promise.all([victim, next]), (error) => error instanceof PeerLostError);
      const { peer, code: told, cause } = await must(gang[1], "receiver").lost;
      strictEqual(told, "LAP_FABRIC_DAMAGED");
      strictEqual(peer, 0);
      strictEqual((cause as LapidaryError).code, expected);
      strictEqual(fired, 1);
      for (const bytes of delivered) ok(bytes.equals(pattern(50_000)));
      await all(gang, (peers) => peers.close());
    });
});
