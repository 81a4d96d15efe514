import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { collectivesOf, compile, type Program } from "@lapidary/compiler";
import { buildModel } from "@lapidary/models";
import { compileOptions, loadJob, type ResolvedJob, trainStep } from "@lapidary/training";
import { chipArrays } from "./chip-arrays.js";
import { viewMachine } from "./machine.js";
import { makeProgramView } from "./make-program-view.js";
import { memoryClassNames, type ProgramView, programViewSchema } from "@lapidary/api/program-view";

const root = resolve(fileURLToPath(import.meta.url), "../../../../..");

function viewOf(...overrides: string[]): { job: ResolvedJob; program: Program; view: ProgramView } {
  const job = loadJob("configs/jobs/nano16.yaml", overrides, { configsDir: resolve(root, "configs"), base: root });
  const { steps, optimizer, schedule, clip, batch, seq } = job.train;
  const graph = trainStep(
    buildModel(job.model.config),
    { steps, optimizer, schedule, ...(clip === undefined ? {} : { clip }) },
    { batch, seq },
  );
  const program = compile(graph, { ...compileOptions(job, graph), verify: false });
  return { job, program, view: makeProgramView(program, viewMachine(job, root)) };
}

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b));

describe("the view of a program", function () {
  this.timeout(60_000);
  const made = new Map<string, ReturnType<typeof viewOf>>();
  before(() => {
    made.set("one pod", viewOf());
    made.set("half a pod", viewOf("slice=8x16", "mesh.data=8", "mesh.model=16", "train.batch=16"));
    made.set("two pods", viewOf("pods=2", "mesh={ pod: 2, data: 256 }", "train.batch=512"));
  });

  it("the view fits its schema, and survives JSON", () => {
    for (const { view } of made.values()) deepStrictEqual(programViewSchema.parse(JSON.parse(JSON.stringify(view))), view);
  });

  it("the bytes of the links, dim by dim and between pods, are the bytes that the collectives send", () => {
    for (const [name, { view }] of made) {
      const sent = sum(view.collectives.map(({ bytes_per_chip }) => bytes_per_chip));
      ok(near(sum([...view.link_bytes.dims, view.link_bytes.dcn]), sent), `${name}: ${JSON.stringify(view.link_bytes)} ${sent}`);
      strictEqual(view.link_bytes.dcn > 0, name === "two pods");
    }
  });

  it("the classes of memory at the peak add up to the highest point of the curve", () => {
    for (const { view } of made.values()) {
      const { memory } = view;
      strictEqual(sum(memoryClassNames.map((kind) => memory.at_peak[kind])), memory.peak_bytes);
      const heights = memory.curve.at_us.map((_, i) => sum(memoryClassNames.map((kind) => memory.curve.by_class[kind][i] ?? 0)));
      ok(Math.max(...heights) >= memory.peak_bytes);
      ok(memory.curve.at_us.every((at, i) => i === 0 || at >= (memory.curve.at_us[i - 1] ?? 0)));
      ok(memory.largest.every(({ bytes }, i) => i === 0 || bytes <= (memory.largest[i - 1]?.bytes ?? 0)));
    }
  });

  it("every collective has a time, a lane of its axes, and its reason", () => {
    for (const { program, view } of made.values()) {
      const byId = new Map(view.values.map((value) => [value.id, value]));
      for (const { id } of collectivesOf(program.chip)) {
        const value = byId.get(id);
        ok(
          value?.start_us !== undefined && value.duration_us !== undefined && value.lane === value.axis && (value.why ?? "").length > 10,
          JSON.stringify(value),
        );
        ok(view.timeline.lanes.includes(value.lane ?? ""));
      }
      for (const { first, op } of view.collectives) strictEqual(byId.get(first)?.op, op);
    }
  });

  it("the compute lane has the kernels in order, one at a time", () => {
    for (const { view } of made.values()) {
      const bars = view.values
        .filter(({ lane }) => lane === "compute")
        .sort((a, b) => (a.start_us ?? 0) - (b.start_us ?? 0) || (a.duration_us ?? 0) - (b.duration_us ?? 0));
      let end = 0;
      for (const { start_us = 0, duration_us = 0, name } of bars) {
        ok(start_us >= end - 0.002, `${name} begins at ${start_us}, before ${end}`);
        end = start_us + duration_us;
      }
      ok(end <= view.timeline.total_us + 0.002);
    }
  });

  it("the view gives each chip its worker, in blocks of equal size", () => {
    const { view } = made.get("one pod") ?? viewOf();
    const { worker, hbm_bytes, sent_bytes } = chipArrays(view, 2);
    deepStrictEqual([worker.length, sum(worker), hbm_bytes.length, sent_bytes.length], [256, 128, 256, 256]);
  });
});
