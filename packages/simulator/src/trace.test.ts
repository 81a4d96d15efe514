import { ok, strictEqual } from "node:assert/strict";
import { parseTorus } from "@lapidary/topology";
import { simulate } from "./simulate.js";
import { trainProgram, v5e } from "./testing/fixtures.js";
import { simulationTrace, type Trace, type TraceEvent, traceSchema } from "./trace.js";

function grouped<T>(items: readonly T[], key: (item: T) => string | number): T[][] {
  const groups = new Map<string | number, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups.values()];
}

describe("trace", () => {
  const simulation = simulate(trainProgram({ mesh: "pod=2,data=4,model=4", batch: 32, remat: "offload" }), {
    chip: v5e,
    pods: 2,
    torus: parseTorus("4x4"),
  });
  const trace = JSON.parse(JSON.stringify(simulationTrace(simulation, "job"))) as Trace;
  const slices = trace.traceEvents.filter((event): event is Extract<TraceEvent, { ph: "X" }> => event.ph === "X");

  it("the trace contains only events of the trace-event format", () => {
    ok(traceSchema.safeParse(trace).success);
  });

  it("the trace has a named track for every stream with slices", () => {
    const named = new Map(
      trace.traceEvents.flatMap((event) =>
        event.ph === "M" && event.name === "thread_name" ? [[event.tid, String(event.args["name"])]] : [],
      ),
    );
    for (const { tid } of slices) ok(named.has(tid));
    for (const name of [
      "core",
      "links of torus dim 0",
      "links of torus dim 1",
      "network between pods",
      "to host memory",
      "from host memory",
    ])
      ok([...named.values()].includes(name), name);
  });

  it("the slices of a track do not overlap", () => {
    for (const track of grouped(slices, ({ pid, tid }) => `${pid} ${tid}`)) {
      const sorted = [...track].sort((a, b) => a.ts - b.ts);
      sorted.forEach(({ ts }, i) => {
        const before = sorted[i - 1];
        ok(before === undefined || ts >= before.ts + before.dur - 0.002, `${before?.name} and ${sorted[i]?.name}`);
      });
    }
  });

  it("each transfer has an arrow from its issue, over its link, to the use of its result", () => {
    const arrows = grouped(
      trace.traceEvents.filter((event) => event.ph === "s" || event.ph === "t" || event.ph === "f"),
      (event) => ("id" in event ? event.id : -1),
    ); // prettier-ignore
    ok(arrows.length > 20);
    for (const arrow of arrows) {
      strictEqual(arrow.map(({ ph }) => ph).join(""), "stf");
      const [s, t, f] = arrow.map((event) => ("ts" in event ? event.ts : 0)) as [number, number, number];
      ok(s <= t && t <= f);
      ok(slices.some((slice) => slice.tid === arrow[1]?.tid && slice.ts === t));
    }
  });

  it("the names of slices contain the provenance, and the arguments of a transfer its cause", () => {
    ok(slices.some(({ name }) => name.startsWith("layers.1.")));
    ok(slices.some(({ name, args }) => name.startsWith("all_gather params/model.layers.0.") && String(args["why"]).includes("ZeRO-3")));
  });

  it("each class of chips is a process of the trace", () => {
    const program = trainProgram({ mesh: "data=4,model=4" });
    const slow = simulate(
      program,
      { chip: v5e, pods: 1, torus: parseTorus("4x4") },
      { faults: [{ kind: "straggler", chip: 3, slowdown: 2 }] },
    );
    const processes = simulationTrace(slow, "job").traceEvents.flatMap((event) =>
      event.ph === "M" && event.name === "process_name" ? [String(event.args["name"])] : [],
    );
    strictEqual(processes.length, 4);
    ok(processes.some((name) => name.includes("chip 3, 2 times as slow")));
  });
});
