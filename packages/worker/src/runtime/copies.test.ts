import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { type Device, openDevice } from "@lapidary/executor";
import type { Peers } from "@lapidary/fabric";
import { memoryPeers } from "@lapidary/fabric/testing";
import { Failpoints, must, parseFailpoints, systemClock } from "@lapidary/std";
import { parseSharding } from "@lapidary/ir";
import {
  type CopyName,
  type MessageKind,
  type MessageOf,
  arrayOf,
  bytesOfNumbers,
  numbersOf,
  updateCount,
  workerRank,
} from "@lapidary/protocol";
import { type Unbranded, message } from "@lapidary/protocol/testing";
import { makeMesh } from "@lapidary/topology";
import { Copies } from "./copies.js";
import { CopyRooms, type Reading, type Room } from "./copy-rooms.js";
import { type Answer, Worker } from "./worker.js";

describe("copies of a run's state", () => {
  const name = (step: number, worker = 0): CopyName => ({
    step: updateCount(step),
    worker: workerRank(worker),
    workers: 2,
    mesh: "data=2",
  });
  const copy = (step: number, worker = 0): Parameters<Copies["add"]>[0] => ({
    name: name(step, worker),
    entries: [],
    bytes: new Uint8Array(8),
  });

  it("stay as long as anybody may go back to them, and no longer", () => {
    const copies = new Copies(new CopyRooms(undefined));
    copies.enter("r");
    for (const step of [1, 2, 3, 4, 5]) {
      copies.add(copy(step));
      copies.add(copy(step, 1));
      copies.prune(updateCount(Math.max(0, step - 2)));
    }
    deepStrictEqual(
      copies.names.filter(({ worker }) => worker === 1).map(({ step }) => step),
      [3, 4, 5],
    );
    strictEqual(copies.get(name(3)).name.step, 3);
    throws(() => copies.get(name(2)), { code: "LAP_WORKER_COPY_UNKNOWN" });
    copies.enter("r");
    strictEqual(copies.names.length, 6);
    copies.forgetAbove(updateCount(4));
    strictEqual(copies.names.length, 4);
    copies.enter("another");
    strictEqual(copies.names.length, 0);
  });

  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  /** Two workers of one gang; each message goes to both. */
  async function gang(epoch: number, workers: readonly Worker[]): Promise<void> {
    joined = memoryPeers(2);
    await Promise.all(
      workers.map((worker, rank) =>
        worker.execute(
          message<"configure">({
            kind: "configure",
            epoch,
            run: "r",
            worker: rank,
            workers: 2,
            mesh: "data=2",
            executor: "stacked",
            numerics: "f32",
            peers: [],
          }),
          new Uint8Array(),
        ),
      ),
    );
  }
  let joined: Promise<Peers[]>;
  const join = async ({ worker }: { readonly worker: number }): Promise<Peers> => must((await joined)[worker], "peers");
  const ask = async <K extends MessageKind>(
    worker: Worker | undefined,
    plain: Unbranded<MessageOf<K>>,
    payload: Uint8Array = new Uint8Array(),
  ): Promise<Answer<K>> => (await must(worker, "worker").execute(message<K>(plain), payload)) as Answer<K>;

  for (const shares of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])
    it(`bring a dead worker's blocks back from its neighbour, to the bit: ${shares.map((yes) => (yes ? "read" : "sent")).join(" and ")}`, () =>
      bringBack(shares));

  async function bringBack(shares: readonly boolean[]): Promise<void> {
    const workers = shares.map((share) => new Worker(device, systemClock, { join, share }));
    await gang(1, workers);
    const blocks = [Float32Array.of(1, 2.5), Float32Array.of(-0, Math.fround(0.1))];
    const blockAt = (step: number, rank: number): Float32Array => (step === 7 ? must(blocks[rank], "block") : Float32Array.of(step, rank));
    // Memory is used again and again; what may still be wanted stays as it is.
    for (let step = 2; step <= 7; step++) {
      await Promise.all(
        workers.map((worker, rank) =>
          ask<"put">(
            worker,
            {
              kind: "put",
              epoch: 1,
              tensor: { id: "w", dtype: "f32", dims: [4], sharding: parseSharding(makeMesh({ data: 2 }), "[data]") },
            },
            bytesOfNumbers(arrayOf("f32", [2], blockAt(step, rank)).data),
          ),
        ),
      );
      const copied = await Promise.all(
        workers.map((worker) => ask<"copy">(worker, { kind: "copy", epoch: 1, step, values: ["w"], committed: step - 1 })),
      );
      strictEqual(copied[0]?.reply.bytes, 8);
    }
    // Worker 1 dies; another process takes its place, and knows nothing.
    await ask<"reset">(workers[0], { kind: "reset", epoch: 1, keepCopies: true });
    const next = [must(workers[0], "survivor"), new Worker(device, systemClock, { join, share: shares[1] ?? true })];
    await gang(2, next);
    deepStrictEqual(
      (await ask<"holdings">(next[0], { kind: "holdings", epoch: 2, latest: 7 })).reply.copies.map(({ worker }) => worker).sort(),
      [0, 0, 1, 1],
    );
    for (const step of [6, 7])
      for (const rank of [0, 1]) {
        const { payload } = await ask<"lend">(next[0], { kind: "lend", epoch: 2, copy: name(step, rank) });
        deepStrictEqual([...numbersOf("f32", must(payload, "copy").slice())], [...blockAt(step, rank)]);
      }
    const lost: CopyName = name(7, 1);
    const lent = await ask<"lend">(next[0], { kind: "lend", epoch: 2, copy: lost });
    await ask<"adopt">(next[1], { kind: "adopt", epoch: 2, copy: lost, entries: lent.reply.entries }, must(lent.payload, "copy").slice());
    for (const [rank, worker] of next.entries()) {
      await ask<"restore">(worker, { kind: "restore", epoch: 2, step: 7 });
      const { payload } = await ask<"fetch">(worker, { kind: "fetch", epoch: 2, value: "w" });
      const numbers = [...numbersOf("f32", must(payload, "block"))];
      strictEqual(
        numbers.every((x, i) => Object.is(x, blocks[rank]?.[i])),
        true,
      );
    }
    await ask<"reset">(next[0], { kind: "reset", epoch: 2 });
    await gang(3, next);
    deepStrictEqual((await ask<"holdings">(next[0], { kind: "holdings", epoch: 3, latest: 7 })).reply.copies, []);
    await Promise.all(next.map((worker) => ask<"reset">(worker, { kind: "reset", epoch: 3 })));
  }

  it("lie in a neighbour's memory until it lays another there, which is two copies after it gave the memory back", async () => {
    const images = device.images;
    if (images === undefined) return;
    const owner = new CopyRooms(images);
    const neighbour = new Copies(new CopyRooms(images));
    neighbour.enter("r");
    const lay = (step: number): Room => {
      const room = must(owner.take(6), "room");
      const block = arrayOf("f32", [1], Float32Array.of(step));
      const tensor = device.upload("f32", [1], Float32Array.from(block.data));
      room.lay([tensor], [4]);
      tensor.dispose();
      return room;
    };
    const read = (room: Room, step: number): Reading => {
      const reading = must(neighbour.rooms.read(owner.offer(room), 6), "reading");
      neighbour.add({ name: name(step, 1), entries: [], ...reading });
      return reading;
    };
    const first = lay(1);
    const reading = read(first, 1);
    deepStrictEqual(neighbour.names, [name(1, 1)]);
    owner.give(first);
    const second = lay(2);
    read(second, 2);
    strictEqual(second === first, false);
    strictEqual(new Float32Array(reading.bytes.slice(0, 4).buffer)[0], 1);
    const third = lay(3);
    strictEqual(third, first);
    strictEqual(reading.isThere?.(), false);
    deepStrictEqual(neighbour.names, [name(2, 1)]);
    throws(() => neighbour.get(name(1, 1)), { code: "LAP_WORKER_COPY_UNKNOWN" });
    // The process that laid it is gone; what it laid is not.
    owner.clear();
    strictEqual(neighbour.get(name(2, 1)).bytes.byteLength, 6);
    strictEqual(neighbour.rooms.read({ ...owner.offer(undefined), path: "/nowhere", id: "x" }, 6), undefined);
    neighbour.clear();
  });

  it("fail where a test wants them to, by name", async () => {
    const failpoints = new Failpoints(parseFailpoints("snapshot-copy@3,0:throw"), {
      kill: () => undefined,
      suspend: () => undefined,
      hang: () => undefined,
      claim: () => true,
    });
    const worker = new Worker(device, systemClock, { failpoints });
    await worker.execute(
      message<"configure">({
        kind: "configure",
        epoch: 1,
        run: "r",
        worker: 0,
        workers: 1,
        mesh: "data=2",
        executor: "stacked",
        numerics: "f32",
        peers: [],
      }),
      new Uint8Array(),
    );
    await ask<"copy">(worker, { kind: "copy", epoch: 1, step: 2, values: [], committed: 0 });
    await rejects(ask<"copy">(worker, { kind: "copy", epoch: 1, step: 3, values: [], committed: 0 }), { code: "LAP_FAILPOINT" });
  });
});
