import assert from "node:assert/strict";
import fc from "fast-check";
import { randomUUID } from "node:crypto";
import { compile } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import { memoryPeers } from "@lapidary/fabric";
import { must, systemClock } from "@lapidary/std";
import { makeWorkerGrid } from "@lapidary/topology";
import { takeBlock } from "../blocks.js";
import { type Device, openDevice } from "../device/device.js";
import { toArrayData } from "../kernels/testing.js";
import { disposeHeld } from "./executor.js";
import { placeMessages } from "./shared-crossing.js";
import { stackedExecutor } from "./stacked.js";

describe("shared memory between workers", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  it("gives the bits that sockets give, again and again", async function () {
    this.timeout(0);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1_000_000 }), fc.integer({ min: 2, max: 6 }), async (seed, count) => {
        const { graph, mesh, shardings, inputs } = randomCase(seed);
        const { chip } = compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        const grid = makeWorkerGrid(mesh, count);
        if (grid.workers < 2) return;
        const peers = await memoryPeers(grid.workers);
        const results = await Promise.all([true, false].map((share) => run(share)));
        assert.deepEqual(results[0], results[1]);
        await Promise.all(peers.map((peer) => peer.close()));

        /** Outputs of all workers after two runs. */
        async function run(share: boolean): Promise<number[][]> {
          const executors = peers.map((peer, worker) =>
            stackedExecutor({ device, mesh, grid, worker, peers: peer, numerics: "f32", clock: systemClock, share }),
          );
          const programs = executors.map((executor) => executor.load(executor.prepare(chip)));
          const tag = randomUUID();
          let found: number[][] = [];
          for (const again of ["first", "second"]) {
            const outputs = await Promise.all(
              programs.map((program, worker) =>
                program.run(
                  program.parameters.map(({ name, type, sharding }) =>
                    must(executors[worker], "executor").put(
                      type,
                      sharding,
                      takeBlock(toArrayData(must(inputs.get(name), name)), mesh, grid, worker, sharding),
                    ),
                  ),
                  program.parameters.map(() => true),
                  `${share ? "shared" : "socket"}/${tag}/${again}`,
                ),
              ),
            );
            found = outputs.flatMap((held, worker) =>
              must(programs[worker], "program").outputs.map(({ type, sharding }, i) => [
                ...must(executors[worker], "executor").fetch(must(held[i], "output"), type, sharding).data,
              ]),
            );
            for (const held of outputs.flat()) disposeHeld(held);
          }
          for (const program of programs) program.dispose();
          return found;
        }
      }),
      { numRuns: 30 },
    );
  });

  it("has no two messages in one place while both are on their way", () => {
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
          const { regionOf, bytes } = placeMessages(messages);
          for (const a of messages) {
            assert.ok((bytes[must(regionOf.get(a.node), "region")] ?? 0) >= a.bytes, "a message fits its place");
            for (const b of messages)
              if (a.node < b.node && regionOf.get(a.node) === regionOf.get(b.node))
                assert.ok(a.finish < b.start || b.finish < a.start, "one after the other");
          }
        },
      ),
    );
  });

  it("uses places again when there is much to send", () => {
    const messages = Array.from({ length: 40 }, (_, node) => ({ node, bytes: 4 * 2 ** 20, start: node * 2, finish: node * 2 + 1 }));
    const { bytes } = placeMessages(messages);
    assert.equal(
      bytes.reduce((sum, size) => sum + size, 0),
      64 * 2 ** 20,
    );
  });
});
