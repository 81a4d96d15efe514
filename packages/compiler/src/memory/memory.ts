import { assert, must } from "@lapidary/std";
import { type Graph, type Value, type ValueId, bytesOf } from "@lapidary/ir";
import { fusedValues } from "./fusion.js";
import type { Schedule } from "../schedule/index.js";

/** What a buffer is for: the classes in which memory is reported. */
export type MemoryClass = "params" | "optimizer" | "gradients" | "activations" | "temporary";
export const memoryClasses: readonly MemoryClass[] = ["params", "optimizer", "gradients", "activations", "temporary"];

/**
 * One chip's buffers over a step. Times are steps of the schedule: a buffer lives from the step that writes it (a collective: its start) to the last step
 * that reads it, both included; states live before the first and after the last.
 *
 * - what is fused into its use (see `fusedValues`) has no buffer, and keeps its operands alive until that use; a `reshape` is a view;
 * - the next state of a parameter takes the parameter's place (donation), from its last read on;
 * - activations are what the forward pass leaves for the backward pass; temporary is all else.
 */
export interface MemoryPlan {
  readonly buffers: readonly BufferPlan[];
  /** Highest sum of live bytes of each class over the steps. */
  readonly peakByClass: Readonly<Record<MemoryClass, number>>;
  /** Highest sum over all classes, and the step where it stands. */
  readonly peakBytes: number;
  readonly peakStep: number;
  /** Bytes of the arena in which all buffers have found a place: at least the peak. */
  readonly arenaBytes: number;
}

export interface BufferPlan {
  readonly value: ValueId;
  readonly bytes: number;
  readonly kind: MemoryClass;
  readonly from: number;
  readonly to: number;
  readonly offset: number;
}

/** How values rest in a chip's memory: by default as the program types them, fused as `fusedValues` says. A simulated chip has views of its own. */
export interface MemoryView {
  readonly bytes: (value: Value) => number;
  /** Values without a buffer of their own. */
  readonly fused: readonly boolean[];
  /** Values that rest elsewhere after one step and are back at another. */
  readonly away?: ReadonlyMap<ValueId, { readonly after: number; readonly back: number }>;
}

export function planMemory(
  graph: Graph,
  { order, startBefore }: Schedule,
  view: MemoryView = { bytes: (value) => bytesOf(value.type), fused: fusedValues(graph) },
): MemoryPlan {
  const step = new Map(order.map((id, i) => [id, i]));
  const last = order.length;
  const { bytes, fused } = view;
  const end = graph.values.map(() => -1);
  const valueOf = (id: ValueId): Value => must(graph.values[id], "value");
  const isView = (value: Value): boolean => value.op === "reshape" || fused[value.id] === true;
  const states = new Map(graph.values.flatMap((value) => (value.op === "parameter" ? [[value.attrs.name, value.id] as const] : [])));

  // Last reads, from the last step to the first, so that a view's reads count for what it looks at.
  const outputs = new Set(graph.outputs.map((o) => o.value));
  for (const id of [...order].reverse()) {
    const value = valueOf(id);
    const at = must(step.get(id), "step");
    if (outputs.has(id)) end[id] = last;
    const readAt = isView(value) ? (end[id] ?? -1) : at;
    for (const input of value.inputs) end[input] = Math.max(end[input] ?? -1, readAt);
  }

  const donatedTo = new Map<ValueId, ValueId>();
  for (const { name, value } of graph.outputs) {
    const state = states.get(name);
    if (state !== undefined && state !== value) donatedTo.set(state, storage(value));
  }

  /** Classes of next states: those of the parameters they replace. */
  const nextStates = new Map<ValueId, MemoryClass>(
    [...donatedTo].map(([state, next]) => [
      next,
      valueOf(state).role === "param" ? "params" : valueOf(state).role === "optimizer" ? "optimizer" : "temporary",
    ]),
  );

  const requests: Omit<BufferPlan, "offset">[] = [];
  for (const value of graph.values) {
    if (isView(value)) continue;
    if (value.op === "parameter") {
      const next = donatedTo.get(value.id);
      const handsOver = next !== undefined && valueOf(next).op !== "parameter";
      const lastRead = end[value.id] ?? -1;
      // The next state is written where the present one lies once nobody reads that any more.
      const nextWritten = handsOver ? (step.get(next) ?? last) : last;
      requests.push({
        value: value.id,
        bytes: bytes(value),
        kind: classOf(value),
        from: -1,
        to: handsOver && lastRead <= nextWritten ? nextWritten - 1 : last,
      });
      continue;
    }
    const at = must(step.get(value.id), "step");
    const request = {
      value: value.id,
      bytes: bytes(value),
      kind: classOf(value),
      from: startBefore.get(value.id) ?? at,
      to: Math.max(at, end[value.id] ?? at),
    };
    const away = view.away?.get(value.id);
    if (away === undefined) requests.push(request);
    else requests.push({ ...request, to: away.after }, { ...request, from: away.back });
  }
  const buffers = placeBuffers(requests);
  const live = liveBytes(buffers, last);
  const peakStep = live.total.reduce((best, bytes, i) => (bytes > (live.total[best] ?? 0) ? i : best), 0);
  return {
    buffers,
    peakByClass: Object.fromEntries(memoryClasses.map((kind) => [kind, Math.max(0, ...live.byClass[kind])])) as Record<MemoryClass, number>,
    peakBytes: live.total[peakStep] ?? 0,
    peakStep: peakStep - 1,
    arenaBytes: buffers.reduce((top, b) => Math.max(top, b.offset + b.bytes), 0),
  };

  /** The value whose buffer holds `id`. */
  function storage(id: ValueId): ValueId {
    const value = valueOf(id);
    return value.op === "reshape" ? storage(must(value.inputs[0], "operand")) : id;
  }

  function classOf(value: Value): MemoryClass {
    const replaces = nextStates.get(value.id);
    if (replaces !== undefined) return replaces;
    if (value.role === "param" && value.op === "parameter") return "params";
    if (value.role === "optimizer") return "optimizer";
    if (value.role === "gradient") return "gradients";
    if (value.scope.phase === "forward" && valueOf(value.id).op !== "parameter" && livesIntoBackward(value)) return "activations";
    return "temporary";
  }

  function livesIntoBackward(value: Value): boolean {
    const until = end[value.id] ?? -1;
    const reader = order[until];
    return reader !== undefined && valueOf(reader).scope.phase !== "forward";
  }
}

/** Live bytes after each step, index 0 standing for the time before the first. */
export function liveBytes(buffers: readonly BufferPlan[], steps: number): { total: number[]; byClass: Record<MemoryClass, number[]> } {
  const empty = (): number[] => Array<number>(steps + 2).fill(0);
  const total = empty();
  const byClass = Object.fromEntries(memoryClasses.map((kind) => [kind, empty()])) as Record<MemoryClass, number[]>;
  for (const { bytes, kind, from, to } of buffers) {
    for (const list of [total, byClass[kind]]) {
      list[from + 1] = (list[from + 1] ?? 0) + bytes;
      list[to + 2] = (list[to + 2] ?? 0) - bytes;
    }
  }
  for (const list of [total, ...Object.values(byClass)])
    for (let i = 1; i < list.length; i++) list[i] = (list[i] ?? 0) + (list[i - 1] ?? 0);
  return { total, byClass };
}

/** Offsets by best fit in order of birth: the smallest gap among live buffers that is large enough, else the top. */
function placeBuffers(requests: readonly Omit<BufferPlan, "offset">[]): BufferPlan[] {
  const sorted = [...requests].sort((a, b) => a.from - b.from || b.to - a.to || b.bytes - a.bytes);
  const live: BufferPlan[] = [];
  const byDeath = new Map<number, BufferPlan[]>();
  let now = -1;
  // The states lie below all else for most of the step: what is packed from the bottom on without a gap need not be looked at.
  let [packed, top] = [0, 0];
  const remove = (dead: BufferPlan): void => {
    const index = live.indexOf(dead, insertionPoint(live, dead.offset));
    live.splice(index, 1);
    if (index < packed) [packed, top] = [index, dead.offset];
  };
  const insert = (placed: BufferPlan): void => {
    const index = insertionPoint(live, placed.offset);
    live.splice(index, 0, placed);
    if (index < packed) packed++;
    for (let next = live[packed]; next !== undefined && next.offset === top; next = live[packed])
      [packed, top] = [packed + 1, next.offset + next.bytes];
  };
  return sorted.map((request) => {
    for (; now < request.from; now++) for (const dead of byDeath.get(now) ?? []) remove(dead);
    const placed = { ...request, offset: request.bytes === 0 ? 0 : bestGap(live, packed, top, request.bytes) };
    if (placed.bytes > 0) {
      insert(placed);
      const dying = byDeath.get(placed.to);
      if (dying === undefined) byDeath.set(placed.to, [placed]);
      else dying.push(placed);
    }
    return placed;
  });
}

/** First index whose offset is not below `offset`. */
function insertionPoint(live: readonly BufferPlan[], offset: number): number {
  let [low, high] = [0, live.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((live[middle]?.offset ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `live` is sorted by offset; there is no gap among the first `packed`, which end at `bottom`. */
function bestGap(live: readonly BufferPlan[], packed: number, bottom: number, bytes: number): number {
  let [best, bestSize, top] = [-1, Infinity, bottom];
  for (let i = packed; i < live.length; i++) {
    const buffer = must(live[i], "buffer");
    const gap = buffer.offset - top;
    if (gap >= bytes && gap < bestSize) [best, bestSize] = [top, gap];
    top = Math.max(top, buffer.offset + buffer.bytes);
  }
  return best >= 0 ? best : top;
}

/** Replays a plan: no two buffers that live at once overlap, and the sums of live bytes are the peaks it states. */
export function verifyMemory(plan: MemoryPlan, steps: number): void {
  const { total, byClass } = liveBytes(plan.buffers, steps);
  assert(Math.max(...total) === plan.peakBytes, "the peak is that of the replay", Math.max(...total), plan.peakBytes);
  for (const kind of memoryClasses)
    assert(Math.max(...byClass[kind]) === plan.peakByClass[kind], "the peak of a class is that of the replay", kind);
  const sorted = [...plan.buffers].sort((a, b) => a.from - b.from);
  let live: BufferPlan[] = [];
  for (const buffer of sorted) {
    if (buffer.bytes === 0) continue;
    live = live.filter((other) => other.to >= buffer.from);
    for (const other of live)
      assert(
        buffer.offset + buffer.bytes <= other.offset || other.offset + other.bytes <= buffer.offset,
        "live buffers do not overlap",
        buffer,
        other,
      );
    live.push(buffer);
  }
  assert(plan.arenaBytes >= plan.peakBytes, "the arena holds the peak", plan.arenaBytes, plan.peakBytes);
}
