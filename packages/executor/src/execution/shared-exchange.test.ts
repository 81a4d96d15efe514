import assert from "node:assert/strict";
import fc from "fast-check";
import { randomUUID } from "node:crypto";
import { compile } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import { crc32, type Peers } from "@lapidary/fabric";
import { memoryPeers } from "@lapidary/fabric/testing";
import { type LapidaryError, ensure, systemClock } from "@lapidary/std";
import { type WorkerGrid, makeWorkerGrid } from "@lapidary/topology";
import { arrayLayout, blockOf, takeBlock, workerRank } from "@lapidary/protocol";
import { type Device, openDevice } from "../device/device.js";
import { toArrayData } from "../kernels/testing.js";
import { disposeHeld } from "./executor.js";
import type { ExecutionHooks } from "./hooks.js";
import { assignRegions } from "./shared-exchange.js";
import { stackedExecutor } from "./stacked.js";

describe("shared memory between workers", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  it("a program has the same bits over shared memory as over sockets, in each run", async function () {
    this.timeout(0);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1_000_000 }), fc.integer({ min: 2, max: 6 }), async (seed, count) => {
        const drawn = makeCase(seed, count);
        fc.pre(drawn.grid.workers >= 2);
        const peers = await memoryPeers(drawn.grid.workers);
        assert.deepEqual(await run(drawn, peers, { share: true }), await run(drawn, peers, { share: false }));
        await Promise.all(peers.map((peer) => peer.close()));
      }),
      { numRuns: 30 },
    );
  });

  it("crc32 of the native library equals that of zlib, for any length and offset, in one piece or two", function () {
    const shared = device.shared;
    if (shared === undefined) return this.skip();
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 2654435761) >>> 13);
    fc.assert(
      fc.property(fc.nat(5000), fc.nat(5000), fc.nat(5000), (from, to, cut) => {
        const part = bytes.subarray(from, to);
        assert.equal(shared.crc32(part), crc32(part));
        assert.equal(shared.crc32(part.subarray(cut), shared.crc32(part.subarray(0, cut))), crc32(part));
      }),
      { numRuns: 500 },
    );
  });

  it("a worker refuses every message in which a bit was flipped", async function () {
    this.timeout(0);
    let fired = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(1_000_000), fc.integer({ min: 2, max: 6 }), fc.nat(5), fc.nat(2), async (seed, count, victim, which) => {
        const drawn = makeCase(seed, count);
        fc.pre(drawn.grid.workers >= 2);
        const peers = await memoryPeers(drawn.grid.workers);
        let messages = 0;
        let damaged = false;
        const hooksOf = (worker: number): ExecutionHooks => ({
          before: () => undefined,
          after: () => undefined,
          link: (_, link) => ({
            ...link,
            send: (x) => {
              if (worker !== victim % drawn.grid.workers || messages++ !== which) return link.send(x);
              damaged = true;
              link.sendCorrupted(x);
            },
          }),
        });
        const running = run(drawn, peers, { share: true, hooksOf });
        if (
          await running.then(
            () => false,
            () => damaged,
          )
        )
          fired++;
        if (damaged) await assert.rejects(running, { code: "LAP_WORKER_MESSAGE" });
        else await running;
        await Promise.all(peers.map((peer) => peer.close()));
      }),
      { numRuns: 80 },
    );
    assert.ok(fired > 3, `${fired} messages were damaged`);
  });

  interface Case extends ReturnType<typeof randomCase> {
    readonly chip: ReturnType<typeof compile>["chip"];
    readonly grid: WorkerGrid;
  }

  function makeCase(seed: number, workers: number): Case {
    const drawn = randomCase(seed);
    const { graph, mesh, shardings } = drawn;
    const { chip } = compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
    return { ...drawn, chip, grid: makeWorkerGrid(mesh, workers) };
  }

  /** Outputs of all workers after two runs. A worker that fails aborts its peers, as `Worker` does. */
  async function run(
    { chip, mesh, grid, inputs }: Case,
    peers: readonly Peers[],
    { share, hooksOf }: { readonly share: boolean; readonly hooksOf?: (worker: number) => ExecutionHooks },
  ): Promise<number[][]> {
    const executors = peers.map((peer, worker) =>
      stackedExecutor({
        device,
        mesh,
        grid,
        worker: workerRank(worker),
        peers: peer,
        numerics: "f32",
        clock: systemClock,
        share,
        ...(hooksOf === undefined ? {} : { hooks: hooksOf(worker) }),
      }),
    );
    const programs = executors.map((executor) => executor.load(executor.prepare(chip)));
    const tag = randomUUID();
    let found: number[][] = [];
    try {
      for (const again of ["first", "second"]) {
        const failures: unknown[] = [];
        const settled = await Promise.allSettled(
          programs.map((program, worker) =>
            program
              .run(
                program.tensors.parameters.map((tensor) =>
                  ensure(executors[worker], "executor").put(
                    tensor,
                    takeBlock(
                      toArrayData(ensure(inputs.get(tensor.id), tensor.id)),
                      blockOf(arrayLayout({ mesh, grid }, tensor), workerRank(worker)),
                    ),
                  ),
                ),
                program.tensors.parameters.map(() => true),
                `${share ? "shared" : "socket"}/${tag}/${again}`,
              )
              .catch((error: LapidaryError) => {
                failures.push(error);
                peers[worker]?.abort(error);
                throw error;
              }),
          ),
        );
        const outputs = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
        if (failures.length === 0)
          found = outputs.flatMap((held, worker) =>
            ensure(programs[worker], "program").tensors.outputs.map((tensor, i) => [
              ...ensure(executors[worker], "executor").fetch(ensure(held[i], "output"), tensor).data,
            ]),
          );
        for (const held of outputs.flat()) disposeHeld(held);
        if (failures.length > 0) throw failures[0];
      }
      return found;
    } finally {
      for (const program of programs) program.dispose();
    }
  }

  it("two messages that are in flight at the same time have different regions", () => {
    const big = 20 * 2 ** 20;
    fc.assert(
      fc.property(
        fc.array(fc.record({ bytes: fc.integer({ min: 4, max: big }), start: fc.nat(50), length: fc.nat(20) }), { maxLength: 40 }),
        (drawn) => {
          const messages = drawn.map(({ bytes, start, length }, node) => ({
            node,
            bytes,
            start: start * 2,
            finish: (start + length) * 2 + 1,
          }));
          const { regionOf, bytes } = assignRegions(messages);
          for (const a of messages) {
            assert.ok((bytes[ensure(regionOf.get(a.node), "region")] ?? 0) >= a.bytes, "a message fits its region");
            for (const b of messages)
              if (a.node < b.node && regionOf.get(a.node) === regionOf.get(b.node))
                assert.ok(a.finish < b.start || b.finish < a.start, "one ends before the other starts");
          }
        },
      ),
    );
  });

  it("large messages share regions", () => {
    const messages = Array.from({ length: 40 }, (_, node) => ({ node, bytes: 4 * 2 ** 20, start: node * 2, finish: node * 2 + 1 }));
    const { bytes } = assignRegions(messages);
    assert.equal(
      bytes.reduce((sum, size) => sum + size, 0),
      64 * 2 ** 20,
    );
  });
});
