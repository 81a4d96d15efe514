import { ensure } from "@lapidary/std";
import { z } from "zod";
import type { Resource } from "./network/transfer.js";
import type { Simulation } from "./simulate.js";
import type { Timeline } from "./timeline/run-timeline.js";
import type { StepList } from "./timeline/step-list.js";

/**
 * A step in the trace-event format, which Perfetto and chrome://tracing open (Trace Event Format, Google). Times are in
 * microseconds. A thread is a stream, and a process is a class of chips.
 *
 *     core    ▓ kernels, ░ waits            s ── t ── f   an arrow from the issue of a transfer, over the link, to the use of its result
 *     ici0    ├ transfers ┤  a second lane if two overlap
 */
export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, string>>;
}

const place = { pid: z.number().int().nonnegative(), tid: z.number().int().nonnegative() };
const time = z.number().nonnegative();
const args = z.record(z.string(), z.union([z.string(), z.number()]));

/** The kinds of events in a trace. */
const traceEventSchema = z.discriminatedUnion("ph", [
  /** Names and order of processes and threads. */
  z.strictObject({
    ph: z.literal("M"),
    name: z.enum(["process_name", "process_sort_index", "thread_name", "thread_sort_index"]),
    ...place,
    args,
  }),
  /** A slice of a thread. */
  z.strictObject({ ph: z.literal("X"), name: z.string().min(1), cat: z.string().min(1), ts: time, dur: time, ...place, args }),
  /** An arrow: start, step, finish; `bp: e` binds it to the enclosing slice. */
  z.strictObject({ ph: z.enum(["s", "t"]), name: z.string().min(1), cat: z.string().min(1), id: z.number().int(), ts: time, ...place }),
  z.strictObject({
    ph: z.literal("f"),
    name: z.string().min(1),
    cat: z.string().min(1),
    id: z.number().int(),
    ts: time,
    bp: z.literal("e"),
    ...place,
  }),
]);
export type TraceEvent = Readonly<z.infer<typeof traceEventSchema>>;

export const traceSchema = z.strictObject({
  traceEvents: z.array(traceEventSchema),
  displayTimeUnit: z.literal("ms"),
  otherData: z.record(z.string(), z.string()),
});

/** Streams in the order of the drawing. The lanes of a stream are adjacent. */
const streamNames: readonly (readonly [Resource | "core", string])[] = [
  ["core", "core"],
  ["ici0", "links of torus dim 0"],
  ["ici1", "links of torus dim 1"],
  ["ici2", "links of torus dim 2"],
  ["dcn", "network between pods"],
  ["to_host", "to host memory"],
  ["from_host", "from host memory"],
];

const threadsPerStream = 16;

/** The predicted step as a trace. The names of its processes begin with `title`. */
export function simulationTrace(simulation: Simulation, title: string): Trace {
  const { timelines, classes, machine, program } = simulation;
  const traceEvents = timelines.flatMap((_, i) => {
    const { chip, count, slowdown } = ensure(classes[i], "class");
    const what =
      classes.length === 1
        ? "every chip"
        : `chip ${chip}${count > 1 ? ` and ${count - 1} like it` : ""}${slowdown === 1 ? "" : `, ${slowdown} times as slow`}`;
    return eventsOf(simulation, i, `${title}: ${what} (predicted)`);
  });
  return {
    traceEvents,
    displayTimeUnit: "ms",
    otherData: {
      program: program.name,
      chip: machine.chip.name,
      mesh: program.mesh.axes.map(({ name, size }) => `${name}=${size}`).join(","),
    },
  };
}

/** Threads of one process. A stream has as many lanes as slices that overlap. */
class Lanes {
  readonly #freeFrom = new Map<Resource | "core", number[]>();

  /** @returns the thread of the first lane of a stream that is free at `from`; the lane is taken until `to` */
  take(stream: Resource | "core", from: number, to: number): number {
    const free = this.#freeFrom.get(stream) ?? [];
    this.#freeFrom.set(stream, free);
    let lane = free.findIndex((until) => until <= from);
    if (lane < 0) lane = Math.min(free.length, threadsPerStream - 1);
    free[lane] = to;
    return threadOf(stream, lane);
  }

  /** The names and the order of the used threads. */
  names(pid: number): TraceEvent[] {
    return streamNames.flatMap(([stream, name]) =>
      (this.#freeFrom.get(stream) ?? []).flatMap((_, lane): TraceEvent[] => {
        const tid = threadOf(stream, lane);
        return [
          { ph: "M", name: "thread_name", pid, tid, args: { name: lane === 0 ? name : `${name} (${lane + 1})` } },
          { ph: "M", name: "thread_sort_index", pid, tid, args: { sort_index: tid } },
        ];
      }),
    );
  }
}

const threadOf = (stream: Resource | "core", lane: number): number =>
  streamNames.findIndex(([name]) => name === stream) * threadsPerStream + lane;

const micros = (seconds: number): number => Math.round(seconds * 1e9) / 1e3;

function eventsOf(simulation: Simulation, pid: number, processName: string): TraceEvent[] {
  const timeline = ensure(simulation.timelines[pid], "timeline");
  const lanes = new Lanes();
  return [
    { ph: "M", name: "process_name", pid, tid: 0, args: { name: processName } },
    ...coreEvents(timeline, simulation.list, pid, lanes),
    ...transferEvents(timeline, simulation.list, pid, lanes),
    ...lanes.names(pid),
  ];
}

/** Kernels and waits of the core. */
function coreEvents(timeline: Timeline, list: StepList, pid: number, lanes: Lanes): TraceEvent[] {
  const core = [
    ...timeline.kernels.map((span) => ({ ...span, transfer: undefined })),
    ...timeline.waits.map((span) => ({ ...span, kernel: undefined })),
  ].sort((a, b) => a.from - b.from);
  return core.map(({ kernel, transfer, from, to }): TraceEvent => {
    const slice = { ts: micros(from), dur: micros(to) - micros(from), pid, tid: lanes.take("core", from, to) };
    if (kernel !== undefined) {
      const args = {
        kind: kernel.kind,
        limit: kernel.limit,
        gflop: kernel.flops / 1e9,
        hbm_mb: kernel.hbmBytes / 1e6,
        alone_us: kernel.seconds * 1e6,
      };
      return { ph: "X", name: kernel.name, cat: kernel.scope.phase, ...slice, args };
    }
    const waited = ensure(list.transfers[ensure(transfer, "transfer")], "transfer");
    return { ph: "X", name: `wait for ${waited.op} ${waited.name}`, cat: "wait", ...slice, args: { axis: waited.axis } };
  });
}

/** Every stage of a transfer on each of its resources, and an arrow from issue to use. */
function transferEvents(timeline: Timeline, list: StepList, pid: number, lanes: Lanes): TraceEvent[] {
  const byStart = [...timeline.transfers].sort((a, b) => (a.stages[0]?.from ?? 0) - (b.stages[0]?.from ?? 0));
  return byStart.flatMap(({ transfer: id, issued, done, stages }) => {
    const transfer = ensure(list.transfers[id], "transfer");
    const name = `${transfer.op} ${transfer.name}`;
    const slices = stages.flatMap(({ stage, from, to }) =>
      stage.resources.map((resource) => ({ stage, ts: micros(from), dur: micros(to) - micros(from), tid: lanes.take(resource, from, to) })),
    );
    const events = slices.map(({ stage, ts, dur, tid }): TraceEvent => {
      const alone_us = Math.max(stage.seconds, stage.latency) * 1e6;
      const args = { axis: transfer.axis, mb: stage.bytes / 1e6, alone_us, why: transfer.why };
      return { ph: "X", name, cat: transfer.op, ts, dur, pid, tid, args };
    });
    const first = slices.find(({ stage }) => stage === stages[0]?.stage);
    if (first === undefined || done === undefined) return events;
    const common = { name: transfer.op, cat: "transfer", id: pid * list.transfers.length + id, pid };
    return [
      ...events,
      { ph: "s", ...common, tid: 0, ts: micros(issued) },
      { ph: "t", ...common, tid: first.tid, ts: first.ts },
      { ph: "f", ...common, tid: 0, ts: micros(done), bp: "e" },
    ];
  });
}
