import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { bytesPerChip, compile, memoryClasses, type Program, verifyMemory } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import { GraphBuilder, runsOf, tensorType } from "@lapidary/ir";
import { makeMesh, meshSize, parseTorus } from "@lapidary/topology";
import { ensure } from "@lapidary/std";
import fc from "fast-check";
import type { ChipSpec } from "./chip/chip-spec.js";
import { isCollective } from "./network/transfer.js";
import { criticalPath } from "./result/critical-path.js";
import { planReport } from "./result/plan-report.js";
import type { Machine } from "./machine.js";
import { type Simulation, coreSeconds, simulate, utilisation } from "./simulate.js";
import { ideal, trainProgram, v5e } from "./testing/fixtures.js";

const machine = (torus: string, pods = 1, chip: ChipSpec = v5e): Machine => ({ chip, pods, torus: parseTorus(torus) });
const near = (actual: number, expected: number, tolerance = 1e-9): void =>
  ok(Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${actual} for ${expected}`);
/** A random program of the compiler's tests. */
const randomProgram = (seed: number): Program => {
  const { graph, mesh, shardings } = randomCase(seed);
  return compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
};
const onLine = (program: Program, chip: ChipSpec = v5e): Simulation =>
  simulate(program, { chip, pods: 1, torus: { dims: [meshSize(program.mesh)] } }, { compute: "f32" });
const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });

describe("simulate", () => {
  const program = trainProgram({ mesh: "data=16,model=4", batch: 64, layers: 3 });
  const simulation = simulate(program, machine("4x16"));

  it("the transfers of a step send exactly the bytes of the program's collectives, with the types of the program", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = randomProgram(seed);
        const values = random.chip.values.filter(isCollective);
        const expected = values.reduce(
          (sum, value) => sum + runsOf(value) * bytesPerChip(value, ensure(random.chip.values[value.inputs[0] ?? 0], "operand")),
          0,
        );
        const { timeline } = onLine(random);
        near(
          timeline.transfers.flatMap(({ stages }) => stages).reduce((sum, { stage }) => sum + stage.bytes, 0),
          expected,
        );
        strictEqual(
          timeline.transfers.length,
          values.reduce((count, value) => count + runsOf(value), 0),
        );
      }),
      { numRuns: 60 },
    );
  });

  it("a reduce_scatter that the TPU compiler replaces by an all_reduce sends twice the bytes, in the exported step on one slice only", () => {
    const reduced = trainProgram({ mesh: "data=16", width: 128, remat: "none", batch: 16 });
    const sentBy = (op: string, attention: "flash" | "plain", torus: string, pods = 1): number =>
      simulate(pods === 1 ? reduced : trainProgram({ mesh: "pod=2,data=16", width: 128, remat: "none", batch: 32 }), machine(torus, pods), {
        attention,
      })
        .list.transfers.filter((transfer) => transfer.op === op && transfer.axis === "data")
        .reduce((sum, { stages }) => sum + stages.reduce((bytes, stage) => bytes + stage.bytes, 0), 0);
    const [scattered, summed] = (["reduce_scatter", "all_reduce"] as const).map((op) => sentBy(op, "flash", "4x4")) as [number, number];
    ok(scattered > 0);
    near(sentBy("reduce_scatter", "plain", "4x4"), 0);
    near(sentBy("all_reduce", "plain", "4x4"), summed + 2 * scattered);
    near(sentBy("reduce_scatter", "plain", "2x8"), scattered);
    ok(sentBy("reduce_scatter", "plain", "4x4", 2) > 0, "several slices keep it");
  });

  it("every iteration of a region takes the same time and sends the same bytes", () => {
    const repeated = (count: number): Simulation => {
      const g = new GraphBuilder("repeated");
      const x = g.parameter("x", tensorType("f32", [64, 4096]), ["batch", null], "batch");
      const w = g.parameter("w", tensorType("f32", [4096, 4096]), [null, "mlp"], "param");
      const [sum] = g.repeat(count, [x], ([state]) => [g.tanh(g.dotGeneral(ensure(state, "state"), w, [], [[1, 0]]))]);
      g.output("y", ensure(sum, "sum"));
      const options = {
        mesh: makeMesh({ data: 2, model: 4 }),
        rules: { batch: "data", mlp: "model" },
        zero: { stage: 0, axes: [] },
      } as const;
      return onLine(compile(g.finish(), options));
    };
    const [two, three, nine] = [2, 3, 9].map(repeated) as [Simulation, Simulation, Simulation];
    const each = three.stepSeconds - two.stepSeconds;
    ok(each > 0);
    near(nine.stepSeconds, two.stepSeconds + 7 * each, 1e-6);
    const gathers = ({ timeline }: Simulation): number => timeline.transfers.length;
    ok(gathers(two) > 0);
    strictEqual(gathers(nine) - gathers(two), 7 * (gathers(three) - gathers(two)));
    strictEqual(nine.memory.peakBytes, two.memory.peakBytes);
  });

  it("the peak of a step is that of the memory plan, and verifyMemory accepts the plan", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = randomProgram(seed);
        const { memory } = onLine(random);
        verifyMemory(memory, random.schedule.order.length);
        strictEqual(planReport(onLine(random)).hbm_bytes.peak, memory.peakBytes);
      }),
      { numRuns: 30 },
    );
    for (const remat of ["none", "dots", "full", "offload"] as const) {
      const each = trainProgram({ mesh: "data=4", remat });
      verifyMemory(simulate(each, machine("2x2")).memory, each.schedule.order.length);
    }
  });

  it("a step takes at least the sum of its kernels, and its critical path has no gap", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { timeline, list, kernels } = onLine(randomProgram(seed), ideal(v5e));
        ok(timeline.seconds >= kernels.reduce((sum, kernel) => sum + kernel.seconds, 0) - 1e-12);
        const path = criticalPath(timeline, list);
        near(
          path.reduce((sum, { from, to }) => sum + to - from, 0),
          path.at(-1)?.to ?? 0,
        );
      }),
      { numRuns: 60 },
    );
  });

  it("a step does not take less time on slower links, on slower memory, or with longer hops", () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 1, max: 10, noNaN: true }), (seed, factor) => {
        const random = randomProgram(seed);
        const chip = ideal(v5e);
        const base = onLine(random, chip).stepSeconds;
        ok(
          onLine(random, { ...chip, ici: { ...chip.ici, link_bytes_per_s: chip.ici.link_bytes_per_s / factor } }).stepSeconds >=
            base * (1 - 1e-9),
        );
        ok(onLine(random, { ...chip, ici: { ...chip.ici, hop_s: chip.ici.hop_s * factor } }).stepSeconds >= base * (1 - 1e-9));
        ok(onLine(random, { ...chip, hbm: { ...chip.hbm, bytes_per_s: chip.hbm.bytes_per_s / factor } }).stepSeconds >= base * (1 - 1e-9));
      }),
      { numRuns: 40 },
    );
  });

  it("compute, waits by axis, host and pods add up to the time of a step", () => {
    for (const each of [
      simulation,
      simulate(trainProgram({ mesh: "pod=2,data=8,model=2", batch: 32 }), machine("2x8", 2)),
      simulate(trainProgram({ mesh: "data=4", remat: "offload" }), machine("2x2")),
    ]) {
      const report = planReport(each);
      near(
        report.compute_s + Object.values(report.exposed_s).reduce((a, b) => a + b, 0) + report.host_s + report.pod_wait_s,
        report.step_time_s,
        1e-6,
      );
      ok(report.dcn_s <= (report.exposed_s["pod"] ?? 0) + 1e-12);
      near(
        report.critical_path.reduce((sum, { share }) => sum + share, 0),
        1,
        1e-6,
      );
    }
  });

  it("modelFlops counts 6 · params · tokens, and 12 · layers · width · S per token for attention", () => {
    const { flops } = simulate(trainProgram({ mesh: "data=4", layers: 2, batch: 8, seq: 64, width: 64 }), machine("2x2"));
    strictEqual(flops.attention, 12 * 2 * 64 * 64 * (8 * 64));
    strictEqual(flops.parameters, 2 * (4 * 64 * 64 + 2 * 4 * 64 * 64));
    near(utilisation(simulation, simulation.flops.weights) * simulation.stepSeconds * 64 * 197e12, simulation.flops.weights);
  });

  it("the straggler delay grows with the number of pods, and is 0 for one pod", () => {
    const waits = [1, 2, 4, 8].map(
      (pods) =>
        simulate(trainProgram({ mesh: pods === 1 ? "data=4" : `pod=${pods},data=4`, batch: 32 }), machine("2x2", pods))
          .stragglerDelaySeconds,
    );
    strictEqual(waits[0], 0);
    ok((waits[1] ?? 0) > 0 && (waits[2] ?? 0) > (waits[1] ?? 0) && (waits[3] ?? 0) > (waits[2] ?? 0));
  });

  it("a step with offloaded projections copies them to the host and back, and needs less memory", () => {
    const [full, offload] = (["full", "offload"] as const).map((remat) =>
      simulate(trainProgram({ mesh: "data=4", remat, layers: 4, seq: 256 }), machine("2x2")),
    );
    strictEqual(offload?.list.transfers.filter(({ op }) => op === "offload").length, 12);
    strictEqual(offload.list.transfers.filter(({ op }) => op === "reload").length, 12);
    const dots = simulate(trainProgram({ mesh: "data=4", remat: "dots", layers: 4, seq: 256 }), machine("2x2"));
    ok(offload.memory.peakByClass.activations < dots.memory.peakByClass.activations);
    ok(ensure(full, "full").kernels.length >= offload.kernels.length);
  });

  it("the memory of attention grows with S and not with its square, because scores have no buffer", () => {
    const temporary = (seq: number): number =>
      simulate(trainProgram({ mesh: "data=4", layers: 1, seq, batch: 4 }), machine("2x2")).memory.peakBytes;
    ok(temporary(2048) < 2.5 * temporary(1024));
  });

  it("plain attention writes its scores, so that it needs more memory, more kernels and more time than flash attention", () => {
    const long = trainProgram({ mesh: "data=4", layers: 1, seq: 2048, batch: 4 });
    const [flash, plain] = (["flash", "plain"] as const).map((attention) => simulate(long, machine("2x2"), { attention }));
    strictEqual(simulate(long, machine("2x2")).stepSeconds, flash?.stepSeconds);
    strictEqual(planReport(ensure(plain, "plain")).attention, "plain");
    ok(ensure(plain, "plain").memory.peakBytes > 2 * ensure(flash, "flash").memory.peakBytes);
    ok(ensure(plain, "plain").kernels.length > ensure(flash, "flash").kernels.length);
    ok(ensure(plain, "plain").kernels.every(({ kind }) => kind !== "attention"));
    ok(ensure(plain, "plain").stepSeconds > ensure(flash, "flash").stepSeconds);
  });

  it("the peaks of the memory classes add up to at least the peak", () => {
    const { peakByClass, peakBytes } = simulation.memory;
    ok(memoryClasses.reduce((sum, kind) => sum + peakByClass[kind], 0) >= peakBytes);
  });

  it("simulate rejects a mesh of another machine, and a slice with more dims than the torus", () => {
    throws(() => simulate(program, machine("4x4")), { code: "LAP_SIMULATOR_PLACE" });
    throws(() => simulate(program, machine("4x4x4")), { code: "LAP_SIMULATOR_PLACE" });
  });
});

describe("faults", () => {
  const program = trainProgram({ mesh: "data=16,model=16", batch: 64, width: 512, heads: 16, layers: 2, seq: 512 });
  const healthy = simulate(program, machine("16x16"));

  it("a machine without faults has one class of chips", () => {
    strictEqual(healthy.timelines.length, 1);
  });

  it("a straggler slows the step of all chips, because all wait for it", () => {
    const slow = simulate(program, machine("16x16"), { faults: [{ kind: "straggler", chip: 37, slowdown: 3 }] });
    // The straggler, the chips of its data group, those of its model group, and all others.
    deepStrictEqual(
      slow.classes.map(({ count }) => count).sort((a, b) => a - b),
      [1, 15, 15, 225],
    );
    ok(slow.stepSeconds > healthy.stepSeconds * 1.2);
    strictEqual(
      slow.classes.reduce((sum, { count }) => sum + count, 0),
      256,
    );
    const straggler = ensure(slow.timelines[slow.classes.findIndex(({ chip }) => chip === 37)], "timeline");
    const other = ensure(slow.timelines[slow.classes.findIndex(({ count }) => count === 225)], "timeline");
    ok(coreSeconds(straggler) > 2 * coreSeconds(other));
    const waits = (timeline: typeof other): number => timeline.waits.reduce((sum, { from, to }) => sum + to - from, 0);
    ok(waits(other) > waits(straggler));
  });

  it("one slow link slows the step, and a lost wrap-around link halves the rate of the ring", () => {
    const slow = (factor: number): number =>
      simulate(program, machine("16x16"), { faults: [{ kind: "slow_link", chip: 0, dim: 1, factor }] }).stepSeconds;
    ok(slow(0.5) > healthy.stepSeconds && slow(0.1) > slow(0.5));
    near(simulate(program, machine("16x16"), { faults: [{ kind: "lost_wrap", chip: 5, dim: 1 }] }).stepSeconds, slow(0.5));
  });

  it("a lost wrap-around link does not change a dim without wrap-around links", () => {
    const small = trainProgram({ mesh: "data=4,model=4", batch: 16 });
    near(
      simulate(small, machine("4x4"), { faults: [{ kind: "lost_wrap", chip: 0, dim: 0 }] }).stepSeconds,
      simulate(small, machine("4x4")).stepSeconds,
    );
  });

  it("faults do not make a step faster", () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.double({ min: 1, max: 4, noNaN: true }),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        (chip, slowdown, factor) => {
          ok(
            simulate(program, machine("16x16"), {
              faults: [
                { kind: "straggler", chip, slowdown },
                { kind: "slow_link", chip, dim: 0, factor },
              ],
            }).stepSeconds >=
              healthy.stepSeconds * (1 - 1e-9),
          ); // prettier-ignore
        },
      ),
      { numRuns: 8 },
    );
  });
});
