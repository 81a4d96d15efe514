import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile } from "@lapidary/compiler";
import { GraphBuilder, makeScope, type RegionScope, tensorType, type TickPart } from "@lapidary/ir";
import { makeMesh, parseTorus } from "@lapidary/topology";
import { usableHbm } from "../chip/chip-spec.js";
import type { Placement } from "../network/placement.js";
import type { Resource, Stage } from "../network/transfer.js";
import { type Simulation, coreSeconds, simulate, utilisation } from "../simulate.js";
import { ideal, trainProgram, v5e } from "../testing/fixtures.js";
import type { Timeline } from "../timeline/run-timeline.js";
import type { StepList, Transfer } from "../timeline/step-list.js";
import { type CriticalPiece, criticalPath } from "./critical-path.js";
import { bubbleOf } from "./bubble.js";
import { exposureOf } from "./exposure.js";
import { modelFlops } from "./model-flops.js";
import { planReport } from "./plan-report.js";

const near = (actual: number, expected: number): void =>
  ok(Math.abs(actual - expected) <= 1e-9 * Math.max(1e-12, Math.abs(expected)), `${actual} for ${expected}`);

describe("the bubble of a pipeline", () => {
  const ofTick = (tick: TickPart | undefined, region: RegionScope | undefined, from: number, to: number) =>
    ({ kernel: { scope: makeScope({ phase: "forward", tick, region }) }, from, to }) as const;

  it("each stage is idle in the share of the time of a part of a tick that its region states, waits included", () => {
    const region = { id: 0, count: 4, idle: { forward: [1, 2], backward: [4, 0] } };
    const bubble = bubbleOf({
      kernels: [
        ofTick(undefined, undefined, 0, 10),
        ofTick("forward", region, 11, 15), // the wait from 10 to 11 is before the region
        ofTick(undefined, region, 15, 20), // the loss, which the stages compute together
        ofTick("backward", region, 22, 30), // with the wait from 20 to 22
        ofTick("forward", undefined, 30, 40),
      ],
    });
    deepStrictEqual(bubble, { seconds: (4 / 4 + 10 + 8 / 4) / 2, byStage: [4 / 4 + 10, 8 / 4] });
    deepStrictEqual(bubbleOf({ kernels: [ofTick(undefined, undefined, 0, 1)] }), { seconds: 0, byStage: [] });
  });
});

describe("exposed time", () => {
  // Atom 0 is between pods; atoms 1 and 2 are on the torus of 4 chips.
  const placement: Placement = { mesh: makeMesh({ pod: 2, data: 4 }), slice: parseTorus("2x2"), pods: 2, chip: ideal(v5e) };
  const stage = (resource: Resource, seconds: number): Stage => ({ resources: [resource], bytes: 1, seconds, latency: 0 });
  const transfer = (id: number, atoms: number[], axis: string): Transfer => ({
    ...{ id, op: "all_gather", axis, name: `t${id}`, why: "", atoms, stages: [], programBytes: 0 },
  });
  const list = (...transfers: Transfer[]): StepList => ({ steps: [], transfers });
  const timeline = (change: Partial<Timeline>): Timeline => ({ seconds: 10, kernels: [], waits: [], transfers: [], ...change });

  it("the wait for a collective counts for its axes, the part in which it is between pods for the axis of the pods", () => {
    const [gather, host] = [transfer(0, [0, 1, 2], "pod+data"), transfer(1, [], "host")];
    const exposure = exposureOf(
      timeline({
        waits: [
          { transfer: 0, from: 2, to: 7 },
          { transfer: 1, from: 8, to: 9.5 },
        ],
        transfers: [
          {
            ...{ transfer: 0, issued: 0, done: 7 },
            stages: [
              { stage: stage("dcn", 3), from: 1, to: 4 },
              { stage: stage("ici0", 3), from: 4, to: 7 },
            ],
          },
        ],
      }),
      list(gather, host),
      placement,
    );
    // From 2 to 4 the transfer is between pods, and from 4 to 7 on the torus.
    deepStrictEqual(
      [...exposure.byAxis],
      [
        ["pod", 2],
        ["data", 3],
      ],
    );
    deepStrictEqual(
      [exposure.dcn, exposure.host, [...exposure.byTransfer]],
      [
        2,
        1.5,
        [
          [0, 5],
          [1, 1.5],
        ],
      ],
    );
  });

  it("the wait for a collective between pods alone counts for their axis, also before its first stage", () => {
    const exposure = exposureOf(
      timeline({
        waits: [{ transfer: 0, from: 0, to: 5 }],
        transfers: [{ transfer: 0, issued: 0, done: 5, stages: [{ stage: stage("dcn", 3), from: 2, to: 6 }] }],
      }),
      list(transfer(0, [0], "pod")),
      placement,
    );
    deepStrictEqual([[...exposure.byAxis], exposure.dcn], [[["pod", 5]], 3]);
    const torus = exposureOf(
      timeline({
        waits: [
          { transfer: 0, from: 1, to: 2 },
          { transfer: 0, from: 3, to: 5 },
        ],
      }),
      list(transfer(0, [1], "data")),
      placement,
    );
    deepStrictEqual([[...torus.byAxis], [...torus.byTransfer]], [[["data", 3]], [[0, 3]]]);
  });

  it("the critical path follows a transfer back to its issue, through the transfer that it waited for", () => {
    const kernel = (name: string, from: number, to: number): Timeline["kernels"][number] => ({
      kernel: { name, limit: "matrix" } as never,
      from,
      to,
    });
    const spans: Timeline = timeline({
      kernels: [kernel("a", 0, 2), kernel("b", 2, 3), kernel("c", 8, 9)],
      waits: [{ transfer: 1, from: 3, to: 8 }],
      transfers: [
        { transfer: 0, issued: 1, done: undefined, stages: [{ stage: stage("to_host", 3), from: 2, to: 5 }] },
        { transfer: 1, issued: 2, done: 8, stages: [{ stage: stage("from_host", 3), from: 5, to: 8 }] },
      ],
    });
    const path = (after: number | undefined): unknown[] =>
      criticalPath(spans, list(transfer(0, [], "host"), { ...transfer(1, [], "host"), ...(after === undefined ? {} : { after }) })).map(
        ({ kind, name, on, from, to }: CriticalPiece) => [kind, name, on, from, to],
      );
    deepStrictEqual(path(0), [
      ["kernel", "a", "matrix", 0, 1],
      ["transfer", "t0", "to_host", 2, 5],
      ["transfer", "t1", "from_host", 5, 8],
      ["kernel", "c", "matrix", 8, 9],
    ]);
    deepStrictEqual(path(undefined), [
      ["kernel", "a", "matrix", 0, 2],
      ["transfer", "t1", "from_host", 5, 8],
      ["kernel", "c", "matrix", 8, 9],
    ]);
  });
});

describe("model flops", () => {
  const step = (withBackward: boolean): ReturnType<typeof modelFlops> => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", tensorType("f32", [2, 3, 5]), ["batch", "seq", null], "batch");
    const w = g.parameter("w", tensorType("f32", [5, 5]), [null, null], "param");
    g.parameter("cache", tensorType("f32", [7]), [null], "gathered");
    g.parameter("m", tensorType("f32", [5, 5]), [null, null], "optimizer");
    const y = g.dotGeneral(x, w, [], [[2, 0]]);
    const scores = g.dotGeneral(y, y, [[0, 0]], [[2, 2]]);
    if (withBackward) g.inPhase("backward", () => g.dotGeneral(scores, scores, [[0, 0]], [[2, 2]]));
    g.output("y", scores);
    return modelFlops(g.finish());
  };

  it("a pass has 2 flops for each parameter and token, and 3 passes are counted for a step with a backward pass", () => {
    // 25 + 7 parameters, 6 tokens; the scores are 2 · 3 · 3 sums of 5 products.
    const forward = {
      parameters: 32,
      activeParameters: 32,
      tokens: 6,
      weights: 2 * 32 * 6,
      attention: 180,
      causalAttention: 90,
      rule: "program",
    };
    deepStrictEqual(step(false), forward);
    deepStrictEqual(step(true), { ...forward, weights: 6 * 32 * 6, attention: 540, causalAttention: 270 });
  });
});

describe("the report of a plan", () => {
  const torus = parseTorus("2x2");
  const simulation: Simulation = simulate(trainProgram({ mesh: "data=4", layers: 2 }), { chip: v5e, pods: 1, torus });
  const report = planReport(simulation);
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

  it("rates follow from the time of the step, the peak of all chips and the counted flops", () => {
    const { flops, stepSeconds } = simulation;
    near(report.tokens_per_s, flops.tokens / stepSeconds);
    near(report.mfu, (flops.weights + flops.attention) / (stepSeconds * v5e.matrix.bf16_flops * 4));
    near(report.mfu_causal, (flops.weights + flops.attention / 2) / (stepSeconds * v5e.matrix.bf16_flops * 4));
    near(utilisation({ machine: { ...simulation.machine, pods: 2 }, stepSeconds }, 1), utilisation(simulation, 1) / 2);
    deepStrictEqual([report.chips, report.pods, report.torus, report.mesh], [4, 1, "2x2", "data=4"]);
  });

  it("the times of kernels, of the update and of the loss by overlap are those of the timeline", () => {
    const { kernels } = simulation.timeline;
    near(report.compute_s, coreSeconds(simulation.timeline));
    near(report.compute_s, sum(kernels.map(({ from, to }) => to - from)));
    near(report.overlap_loss_s, report.compute_s - sum(kernels.map(({ kernel }) => kernel.seconds)));
    ok(report.overlap_loss_s > 0);
    near(report.optimizer_s, sum(kernels.filter(({ kernel }) => kernel.scope.phase === "update").map(({ from, to }) => to - from)));
    ok(report.optimizer_s > 0 && report.optimizer_s < report.compute_s);
    near(sum(report.kernels.map(({ time_s }) => time_s)), report.compute_s);
    strictEqual(sum(report.kernels.map(({ count }) => count)), kernels.length);
    near(sum(report.kernels.map(({ hbm_bytes }) => hbm_bytes)), sum(kernels.map(({ kernel }) => kernel.hbmBytes)));
    near(sum(report.kernels.map(({ flops }) => flops)), sum(kernels.map(({ kernel }) => kernel.flops)));
    // The kernels of both layers are one row.
    ok(report.kernels.some(({ name, count }) => name.includes("layers.*.") && count % 2 === 0));
  });

  it("rows of kernels and collectives are sorted by time, and collectives have the bytes of all their transfers", () => {
    for (const rows of [report.kernels, report.collectives]) {
      const times = rows.map(({ time_s }) => time_s);
      deepStrictEqual(
        times,
        [...times].sort((a, b) => b - a),
      );
    }
    const { transfers } = simulation.list;
    strictEqual(sum(report.collectives.map(({ count }) => count)), transfers.length);
    near(
      sum(report.collectives.map((row) => row.sent_bytes_per_chip)),
      sum(transfers.flatMap(({ stages }) => stages.map(({ bytes }) => bytes))),
    );
    near(sum(report.collectives.map((row) => row.bytes_per_chip)), sum(transfers.map(({ programBytes }) => programBytes)));
    near(sum(report.collectives.map((row) => row.exposed_s)), sum(simulation.timeline.waits.map(({ from, to }) => to - from)));
    near(
      sum(report.collectives.map((row) => row.time_s)),
      sum(simulation.timeline.transfers.flatMap(({ stages }) => stages.map(({ from, to }) => to - from))),
    );
  });

  it("a plan fits if its peak is at most the memory that a program can use", () => {
    const peak = simulation.memory.peakBytes;
    const fits = (bytes: number): boolean => {
      const chip = { ...v5e, hbm: { ...v5e.hbm, bytes: 2 * bytes, usable_bytes: bytes } };
      return planReport({ ...simulation, machine: { ...simulation.machine, chip } }).fits;
    };
    deepStrictEqual([fits(peak), fits(peak - 1), report.hbm_limit], [true, false, usableHbm(v5e)]);
  });

  it("the resource with the largest part of the critical path bounds the step, with the links of all dims as one", () => {
    const total = (prefix: string): number =>
      sum(report.critical_path.filter(({ on }) => on.startsWith(prefix)).map(({ time_s }) => time_s));
    const parts = { compute: total("matrix"), vector: total("vector"), hbm: total("hbm"), ici: total("ici") };
    const largest = Object.entries(parts).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
    strictEqual(report.bound, largest);
    near(sum(report.critical_path.map(({ share }) => share)), 1);
    const g = new GraphBuilder("matmul");
    const [x, w] = [g.parameter("x", tensorType("f32", [8192, 8192])), g.parameter("w", tensorType("f32", [8192, 8192]))];
    g.output("y", g.dotGeneral(x, w, [], [[1, 0]]));
    const program = compile(g.finish(), { mesh: makeMesh({ data: 1 }), rules: {}, zero: { stage: 0, axes: [] } });
    strictEqual(planReport(simulate(program, { chip: v5e, pods: 1, torus: parseTorus("1x1") })).bound, "compute");
  });
});
