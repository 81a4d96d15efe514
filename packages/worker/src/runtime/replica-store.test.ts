import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { type Device, openDevice } from "@lapidary/executor";
import type { Peers } from "@lapidary/fabric";
import { memoryPeers } from "@lapidary/fabric/testing";
import { Failpoints, ensure, parseFailpoints, systemClock } from "@lapidary/std";
import { parseSharding } from "@lapidary/ir";
import {
  type ReplicaName,
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
import { ReplicaStore } from "./replica-store.js";
import { SharedBufferPool, type NeighborReplica, type SharedBuffer } from "./shared-buffer-pool.js";
import { type Answer, Worker } from "./worker.js";
import { processDevice } from "./worker-device.js";

describe("replicas of a run's state", () => {
  const name = (step: number, worker = 0): ReplicaName => ({
    step: updateCount(step),
    worker: workerRank(worker),
    workers: 2,
    mesh: "data=2",
  });
  const replica = (step: number, worker = 0): Parameters<ReplicaStore["add"]>[0] => ({
    name: name(step, worker),
    entries: [],
    bytes: new Uint8Array(8),
  });

  it("the store keeps a replica until a newer committed replica of the same worker replaces it", () => {
    const replicas = new ReplicaStore(new SharedBufferPool(undefined));
    replicas.enter("r");
    for (const step of [1, 2, 3, 4, 5]) {
      replicas.add(replica(step));
      replicas.add(replica(step, 1));
      replicas.prune(updateCount(Math.max(0, step - 2)));
    }
    deepStrictEqual(
      replicas.names.filter(({ worker }) => worker === 1).map(({ step }) => step),
      [3, 4, 5],
    );
    strictEqual(replicas.get(name(3)).name.step, 3);
    throws(() => replicas.get(name(2)), { code: "LAP_WORKER_COPY_UNKNOWN" });
    replicas.enter("r");
    strictEqual(replicas.names.length, 6);
    replicas.removeAbove(updateCount(4));
    strictEqual(replicas.names.length, 4);
    replicas.enter("another");
    strictEqual(replicas.names.length, 0);
  });

  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  /** Configures two workers of one group. */
  async function configureGroup(epoch: number, workers: readonly Worker[]): Promise<void> {
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
  const join = async ({ worker }: { readonly worker: number }): Promise<Peers> => ensure((await joined)[worker], "peers");
  const ask = async <K extends MessageKind>(
    worker: Worker | undefined,
    plain: Unbranded<MessageOf<K>>,
    payload: Uint8Array = new Uint8Array(),
  ): Promise<Answer<K>> => (await ensure(worker, "worker").execute(message<K>(plain), payload)) as Answer<K>;

  for (const shares of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])
    it(`a neighbour restores the blocks of a worker that exited, bit for bit: ${shares.map((yes) => (yes ? "read" : "sent")).join(" and ")}`, () =>
      restores(shares));

  async function restores(shares: readonly boolean[]): Promise<void> {
    const workers = shares.map((share) => new Worker(processDevice(device), systemClock, { join, share }));
    await configureGroup(1, workers);
    const blocks = [Float32Array.of(1, 2.5), Float32Array.of(-0, Math.fround(0.1))];
    const blockAt = (step: number, rank: number): Float32Array =>
      step === 7 ? ensure(blocks[rank], "block") : Float32Array.of(step, rank);
    // Memory is used again. Replicas that a recovery may need must stay unchanged.
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
      const replicated = await Promise.all(
        workers.map((worker) => ask<"copy">(worker, { kind: "copy", epoch: 1, step, values: ["w"], committed: step - 1 })),
      );
      strictEqual(replicated[0]?.reply.bytes, 8);
    }
    // Worker 1 exits. A new process takes its rank and has no replicas.
    await ask<"reset">(workers[0], { kind: "reset", epoch: 1, keepCopies: true });
    const next = [ensure(workers[0], "survivor"), new Worker(processDevice(device), systemClock, { join, share: shares[1] ?? true })];
    await configureGroup(2, next);
    deepStrictEqual(
      (await ask<"holdings">(next[0], { kind: "holdings", epoch: 2, latest: 7 })).reply.copies.map(({ worker }) => worker).sort(),
      [0, 0, 1, 1],
    );
    for (const step of [6, 7])
      for (const rank of [0, 1]) {
        const { payload } = await ask<"lend">(next[0], { kind: "lend", epoch: 2, copy: name(step, rank) });
        deepStrictEqual([...numbersOf("f32", ensure(payload, "replica").slice())], [...blockAt(step, rank)]);
      }
    const lost: ReplicaName = name(7, 1);
    const fetched = await ask<"lend">(next[0], { kind: "lend", epoch: 2, copy: lost });
    await ask<"adopt">(
      next[1],
      { kind: "adopt", epoch: 2, copy: lost, entries: fetched.reply.entries },
      ensure(fetched.payload, "replica").slice(),
    );
    for (const [rank, worker] of next.entries()) {
      await ask<"restore">(worker, { kind: "restore", epoch: 2, step: 7 });
      const { payload } = await ask<"fetch">(worker, { kind: "fetch", epoch: 2, value: "w" });
      const numbers = [...numbersOf("f32", ensure(payload, "block"))];
      strictEqual(
        numbers.every((x, i) => Object.is(x, blocks[rank]?.[i])),
        true,
      );
    }
    await ask<"reset">(next[0], { kind: "reset", epoch: 2 });
    await configureGroup(3, next);
    deepStrictEqual((await ask<"holdings">(next[0], { kind: "holdings", epoch: 3, latest: 7 })).reply.copies, []);
    await Promise.all(next.map((worker) => ask<"reset">(worker, { kind: "reset", epoch: 3 })));
  }

  it("a replica is readable until the owner overwrites its buffer, two replicas after the release", function () {
    const stagingMemory = device.stagingMemory;
    if (stagingMemory === undefined) return this.skip();
    const owner = new SharedBufferPool(stagingMemory);
    const neighbour = new ReplicaStore(new SharedBufferPool(stagingMemory));
    neighbour.enter("r");
    const write = (step: number): SharedBuffer => {
      const buffer = ensure(owner.acquire(6), "buffer");
      const block = arrayOf("f32", [1], Float32Array.of(step));
      const tensor = device.upload("f32", [1], Float32Array.from(block.data));
      buffer.write([tensor], [4]);
      tensor.dispose();
      return buffer;
    };
    const read = (buffer: SharedBuffer, step: number): NeighborReplica => {
      const found = ensure(neighbour.buffers.read(owner.handleFor(buffer), 6), "replica");
      neighbour.add({ name: name(step, 1), entries: [], ...found });
      return found;
    };
    const first = write(1);
    const oldest = read(first, 1);
    deepStrictEqual(neighbour.names, [name(1, 1)]);
    owner.release(first);
    const second = write(2);
    read(second, 2);
    strictEqual(second === first, false);
    strictEqual(new Float32Array(oldest.bytes.slice(0, 4).buffer)[0], 1);
    const third = write(3);
    strictEqual(third, first);
    strictEqual(oldest.isValid?.(), false);
    deepStrictEqual(neighbour.names, [name(2, 1)]);
    throws(() => neighbour.get(name(1, 1)), { code: "LAP_WORKER_COPY_UNKNOWN" });
    // The replica outlives the process that wrote it.
    owner.clear();
    strictEqual(neighbour.get(name(2, 1)).bytes.byteLength, 6);
    strictEqual(neighbour.buffers.read({ ...owner.handleFor(undefined), path: "/nowhere", id: "x" }, 6), undefined);
    neighbour.clear();
  });

  it("each of three workers holds the replica of the worker before it", async () => {
    const workers = [0, 1, 2].map(() => new Worker(processDevice(device), systemClock, { join }));
    joined = memoryPeers(3);
    const base = {
      kind: "configure",
      epoch: 1,
      run: "r",
      workers: 3,
      mesh: "data=3",
      executor: "stacked",
      numerics: "f32",
      peers: [],
    } as const;
    await Promise.all(workers.map((worker, rank) => ask<"configure">(worker, { ...base, worker: rank })));
    const tensor = { id: "w", dtype: "f32", dims: [3], sharding: parseSharding(makeMesh({ data: 3 }), "[data]") } as const;
    await Promise.all(
      workers.map((worker, rank) => ask<"put">(worker, { kind: "put", epoch: 1, tensor }, bytesOfNumbers(Float32Array.of(rank)))),
    );
    await Promise.all(workers.map((worker) => ask<"copy">(worker, { kind: "copy", epoch: 1, step: 1, values: ["w"], committed: 0 })));
    for (const [rank, worker] of workers.entries()) {
      const { reply } = await ask<"holdings">(worker, { kind: "holdings", epoch: 1, latest: 1 });
      const previous = (rank + 2) % 3;
      deepStrictEqual(reply.copies.map(({ worker: owner }) => owner).sort(), [previous, rank].sort());
      const copy: ReplicaName = { step: updateCount(1), worker: workerRank(previous), workers: 3, mesh: "data=3" };
      const { payload } = await ask<"lend">(worker, { kind: "lend", epoch: 1, copy });
      deepStrictEqual([...numbersOf("f32", ensure(payload, "replica").slice())], [previous]);
    }
    await Promise.all(workers.map((worker) => ask<"reset">(worker, { kind: "reset", epoch: 1 })));
  });

  it("the failpoint snapshot-copy fires at the step and on the worker that it names", async () => {
    const failpoints = new Failpoints(parseFailpoints("snapshot-copy@3,0:throw"), {
      kill: () => undefined,
      suspend: () => undefined,
      hang: () => undefined,
      claim: () => true,
    });
    const worker = new Worker(processDevice(device), systemClock, { failpoints });
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
