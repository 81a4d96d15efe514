import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { KernelCost } from "../cost/kernel-cost.js";
import type { Resource, Stage } from "../network/transfer.js";
import { criticalPath } from "../result/critical-path.js";
import type { ChipClass } from "./chip-classes.js";
import { runTimeline, type Timeline } from "./run-timeline.js";
import type { CoreStep, StepList, Transfer } from "./step-list.js";

const chip: ChipClass = { id: 0, count: 1, chip: 0, slowdown: 1, linkFactor: () => 1, groups: () => [0] };
const kernel = (seconds: number, name = "kernel"): KernelCost => ({
  at: 0,
  kind: "product",
  name,
  scope: { phase: "forward" },
  role: undefined,
  seconds,
  limit: "matrix",
  flops: 0,
  paddedFlops: 0,
  vectorOps: 0,
  hbmBytes: 0,
  largestStream: 0,
});
const stage = (seconds: number, resources: Resource[] = ["ici0"], latency = 0): Stage => ({
  resources,
  bytes: seconds * 1e9,
  seconds,
  latency,
});
const transfer = (id: number, stages: Stage[]): Transfer => ({
  id,
  op: "all_gather",
  axis: "data",
  name: `t${id}`,
  why: "",
  atoms: [],
  stages,
  programBytes: 0,
});
const start = (id: number): CoreStep => ({ kind: "start", transfer: id });
const run = (seconds: number): CoreStep => ({ kind: "run", kernel: kernel(seconds) });
const done = (id: number): CoreStep => ({ kind: "done", transfer: id });
const simulate = (steps: CoreStep[], stages: Stage[][], overlapLoss = 0): Timeline =>
  runTimeline({ steps, transfers: stages.map((each, id) => transfer(id, each)) }, [chip], { overlapLoss, dims: 2 })[0] as Timeline;
const near = (actual: number, expected: number): void => ok(Math.abs(actual - expected) < 1e-9, `${actual} for ${expected}`);

describe("timeline", () => {
  it("a transfer overlaps the kernels before the use of its result", () => {
    near(simulate([start(0), run(3), done(0), run(1)], [[stage(2)]]).seconds, 4);
    near(simulate([start(0), run(1), done(0), run(1)], [[stage(2)]]).seconds, 3);
  });

  it("two transfers on one link share its rate", () => {
    const { transfers, seconds } = simulate([start(0), start(1), done(0), done(1)], [[stage(1)], [stage(2)]]);
    near(seconds, 3);
    near(transfers[0]?.stages[0]?.to ?? 0, 2);
    near(transfers[1]?.stages[0]?.to ?? 0, 3);
  });

  it("transfers on different dims do not slow each other, and a transfer on both dims shares the rate of each", () => {
    near(simulate([start(0), start(1), done(0), done(1)], [[stage(2, ["ici0"])], [stage(2, ["ici1"])]]).seconds, 2);
    near(simulate([start(0), start(1), done(0), done(1)], [[stage(2, ["ici0", "ici1"])], [stage(1, ["ici1"])]]).seconds, 3);
  });

  it("a transfer that only waits for its latency does not use the link", () => {
    const { transfers } = simulate([start(0), start(1), done(0), done(1)], [[stage(0, ["ici0"], 5)], [stage(2)]]);
    near(transfers[1]?.stages[0]?.to ?? 0, 2);
    near(transfers[0]?.stages[0]?.to ?? 0, 5);
  });

  it("the core is slower by overlapLoss while all its links are busy, and by half of it while half of them are", () => {
    near(simulate([start(0), run(1), done(0)], [[stage(4, ["ici0", "ici1"])]], 0.5).seconds, 4);
    near(simulate([start(0), run(1), done(0)], [[stage(4, ["ici0", "ici1"])]], 0.5).kernels[0]?.to ?? 0, 2);
    near(simulate([start(0), run(1), done(0)], [[stage(4, ["ici0"])]], 0.5).kernels[0]?.to ?? 0, 1 / 0.75);
    near(simulate([run(1), start(0), done(0)], [[stage(4)]], 0.5).seconds, 5);
  });

  it("the stages of a transfer run one after another", () => {
    near(simulate([start(0), done(0)], [[stage(1), stage(2, ["dcn"]), stage(1)]]).seconds, 4);
  });

  it("a reload begins after its offload has ended", () => {
    const list: StepList = {
      steps: [start(0), start(1), done(1)],
      transfers: [transfer(0, [stage(2, ["to_host"])]), { ...transfer(1, [stage(2, ["from_host"])]), after: 0 }],
    };
    near(runTimeline(list, [chip], { overlapLoss: 0, dims: 2 })[0]?.seconds ?? 0, 4);
  });

  /** Steps that start every transfer before they wait for it. */
  const programs = fc
    .array(
      fc.record({
        seconds: fc.double({ min: 0.01, max: 3, noNaN: true }),
        resources: fc.constantFrom<Resource[][]>(["ici0"], ["ici1"], ["ici0", "ici1"], ["dcn"]),
        from: fc.nat(11),
        length: fc.nat(6),
      }),
      { minLength: 1, maxLength: 8 },
    )
    .chain((transfers) =>
      fc.array(fc.double({ min: 0.01, max: 2, noNaN: true }), { minLength: 12, maxLength: 20 }).map((kernels) => ({ transfers, kernels })),
    );
  const listOf = ({
    transfers,
    kernels,
  }: {
    transfers: { seconds: number; resources: Resource[]; from: number; length: number }[];
    kernels: number[];
  }): [CoreStep[], Stage[][]] => {
    const steps: CoreStep[] = [];
    kernels.forEach((seconds, i) => {
      transfers.forEach(({ from, length }, id) => {
        if (from === i) steps.push(start(id));
        if (Math.min(from + length, kernels.length - 1) === i) steps.push(done(id));
      });
      steps.push(run(seconds));
    });
    return [steps, transfers.map(({ seconds, resources }) => [stage(seconds, resources)])];
  };

  it("a step takes at least the work of each stream and at most the sum of all work, and its critical path has no gap", () => {
    fc.assert(
      fc.property(programs, fc.constantFrom(0, 0.5, 0.9), (program, loss) => {
        const [steps, stages] = listOf(program);
        const timeline = simulate(steps, stages, loss);
        const core = program.kernels.reduce((a, b) => a + b, 0);
        const on = (resource: Resource): number =>
          program.transfers.reduce((sum, t) => sum + (t.resources.includes(resource) ? t.seconds : 0), 0);
        ok(timeline.seconds >= Math.max(core, on("ici0"), on("ici1"), on("dcn")) - 1e-9);
        ok(timeline.seconds <= core + program.transfers.reduce((sum, t) => sum + t.seconds, 0) + 1e-9);
        const path = criticalPath(timeline, { steps, transfers: stages.map((each, id) => transfer(id, each)) });
        path.forEach((piece, i) => ok(i === 0 || piece.from >= (path[i - 1]?.to ?? 0) - 1e-9));
        near(
          path.reduce((sum, { from, to }) => sum + to - from, 0),
          path.at(-1)?.to ?? 0,
        );
      }),
      { numRuns: 200 },
    );
  });

  it("the stages on a resource do not end before the resource has done their work", () => {
    fc.assert(
      fc.property(programs, (program) => {
        const [steps, stages] = listOf(program);
        const { transfers } = simulate(steps, stages);
        for (const resource of ["ici0", "ici1", "dcn"] as const) {
          const spans = transfers.flatMap(({ stages: all }) => all.filter((span) => span.stage.resources.includes(resource)));
          // The time until each end contains the work of all stages that have ended.
          for (const { to } of spans) {
            const ended = spans.filter((span) => span.to <= to + 1e-9).reduce((sum, span) => sum + span.stage.seconds, 0);
            const first = Math.min(...spans.map((span) => span.from));
            ok(to - first >= ended - 1e-9);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it("a transfer does not end earlier if another transfer has more bytes, or is added", () => {
    const flows = fc.array(
      fc.record({
        seconds: fc.double({ min: 0.01, max: 3, noNaN: true }),
        resources: fc.constantFrom<Resource[][]>(["ici0"], ["ici1"], ["ici0", "ici1"]),
        from: fc.nat(5),
      }),
      { minLength: 2, maxLength: 7 },
    );
    const ends = (list: { seconds: number; resources: Resource[]; from: number }[]): number[] => {
      const steps = Array.from({ length: 6 }, (_, i) => [
        ...list.flatMap(({ from }, id) => (from === i ? [start(id)] : [])),
        run(0.3),
      ]).flat();
      return [
        ...simulate(
          steps,
          list.map(({ seconds, resources }) => [stage(seconds, resources)]),
        ).transfers,
      ]
        .sort((a, b) => a.transfer - b.transfer)
        .map(({ stages }) => stages.at(-1)?.to ?? 0); // prettier-ignore
    };
    fc.assert(
      fc.property(flows, fc.double({ min: 1, max: 4, noNaN: true }), (list, more) => {
        const base = ends(list);
        ends(list.map((flow, i) => (i === 0 ? { ...flow, seconds: flow.seconds * more } : flow))).forEach((end, i) =>
          ok(end >= (base[i] ?? 0) - 1e-9),
        );
        ends(list.slice(0, -1)).forEach((end, i) => ok(end <= (base[i] ?? 0) + 1e-9));
      }),
      { numRuns: 200 },
    );
  });

  it("the timeline contains every kernel", () => {
    strictEqual(simulate([run(1), run(2)], []).kernels.length, 2);
  });
});
