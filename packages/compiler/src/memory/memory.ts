import { assert, ensure } from "@lapidary/std";
import { type Graph, type Value, type ValueId, bytesOf, elementwiseNames, regionsOf } from "@lapidary/ir";
import { fusedValues } from "./fusion.js";
import type { Schedule } from "../schedule/index.js";

/** The purpose of a buffer. Memory is reported by these classes. */
export type MemoryClass = "params" | "optimizer" | "gradients" | "activations" | "temporary";
export const memoryClasses: readonly MemoryClass[] = ["params", "optimizer", "gradients", "activations", "temporary"];

/**
 * The buffers of one chip during a step. Times are steps of the schedule. A buffer is live from the step that writes it (for a
 * collective: its start) to the last step that reads it, both included. States are also live before the first and after the last step.
 *
 * - a value that is fused into its use (see `fusedValues`) has no buffer, and its operands are live until that use; a `reshape` is a view;
 * - the next state of a parameter reuses the buffer of the parameter after its last read (donation);
 * - the values of a region have buffers for one iteration, and values that a region reads are live until its last step;
 * - a carry has one buffer until the last read of its yield. The value of the next iteration is written into this buffer if it is computed
 *   element by element from the carry;
 * - activations are the forward values that the backward pass reads; all other values are temporary.
 */
export interface MemoryPlan {
  readonly buffers: readonly BufferPlan[];
  /** Highest sum of live bytes of each class over the steps. */
  readonly peakByClass: Readonly<Record<MemoryClass, number>>;
  /** Highest sum over all classes, and its step. */
  readonly peakBytes: number;
  readonly peakStep: number;
  /** Bytes of the arena that contains all buffers: at least the peak. */
  readonly arenaBytes: number;
}

interface BufferPlan {
  readonly value: ValueId;
  readonly bytes: number;
  readonly kind: MemoryClass;
  readonly from: number;
  readonly to: number;
  readonly offset: number;
}

/**
 * How a chip stores values: by default with the types of the program, fused by `fusedValues`. The simulator has its own data types,
 * fusion and offloading.
 */
export interface MemoryView {
  readonly bytes: (value: Value) => number;
  /** Values without their own buffer. */
  readonly fused: readonly boolean[];
  /** Values that have no buffer between two steps, because the host stores them: after `after` and before `reload`. */
  readonly offloaded?: ReadonlyMap<ValueId, { readonly after: number; readonly reload: number }>;
  /** The operands into whose buffer the chip can write a value. It does if the sizes are equal and no later step reads the operand. */
  readonly overwrites?: (value: Value) => readonly ValueId[];
  /** Buffers that the compiler of the chip adds to those of the values: copies, and working memory of collectives. */
  readonly added?: readonly AddedBuffer[];
}

/** A buffer for a value, next to the value's own. Times are steps, as in `MemoryPlan`. */
export type AddedBuffer = Pick<BufferPlan, "value" | "bytes" | "from" | "to">;

export function planMemory(
  graph: Graph,
  schedule: Schedule,
  view: MemoryView = { bytes: (value) => bytesOf(value.type), fused: fusedValues(graph) },
): MemoryPlan {
  return planBuffers(requestBuffers(graph, schedule, view), schedule.order.length);
}

/** A buffer without its place. */
type BufferRequest = Omit<BufferPlan, "offset">;

/** The buffers of all values, and those that a view adds. */
export function requestBuffers(graph: Graph, schedule: Schedule, view: MemoryView): BufferRequest[] {
  const lifetimes = new Lifetimes(graph, schedule, view);
  return [...graph.values.flatMap((value) => lifetimes.buffersOf(value)), ...(view.added ?? []).map(temporaryBuffer)];
}

export const temporaryBuffer = (buffer: AddedBuffer): BufferRequest => ({ ...buffer, kind: "temporary" });

/** The plan of buffers over `steps` steps. Their places are computed when `buffers` or `arenaBytes` is read first. */
export function planBuffers(requests: readonly BufferRequest[], steps: number): MemoryPlan {
  const live = liveBytes(requests, steps);
  const peakStep = live.total.reduce((best, bytes, i) => (bytes > (live.total[best] ?? 0) ? i : best), 0);
  let placed: BufferPlan[] | undefined;
  const place = (): BufferPlan[] => (placed ??= placeBuffers(requests));
  return {
    peakByClass: Object.fromEntries(memoryClasses.map((kind) => [kind, highest(live.byClass[kind])])) as Record<MemoryClass, number>,
    peakBytes: live.total[peakStep] ?? 0,
    peakStep: peakStep - 1,
    get buffers(): readonly BufferPlan[] {
      return place();
    },
    get arenaBytes(): number {
      return place().reduce((top, b) => Math.max(top, b.offset + b.bytes), 0);
    },
  };
}

const highest = (list: readonly number[]): number => list.reduce((most, bytes) => Math.max(most, bytes), 0);

/** The steps in which each value needs memory, and the class of its buffer. */
class Lifetimes {
  /** By value, its position in the schedule; undefined for a parameter. */
  readonly #step: readonly (number | undefined)[];
  /** By value, the last step that reads it; the number of steps if it is an output, −1 if nothing reads it. */
  readonly #lastRead: number[];
  /** By region, its last step. */
  readonly #regionEnds: ReadonlyMap<number, number>;
  /** By yield, its carry; by value of the next iteration that is written into the buffer of a carry, that carry. */
  readonly #inCarry = new Map<ValueId, ValueId>();
  /** By carry, the values that are written into its buffer. */
  readonly #ofCarry = new Map<ValueId, ValueId[]>();
  /** By value that is written into the buffer of an operand, the value that has this buffer. */
  readonly #overwritten = new Map<ValueId, ValueId>();
  /** By parameter, the value with the buffer of its next state. */
  readonly #donatedTo: ReadonlyMap<ValueId, ValueId>;
  /** Classes of next states: those of the parameters that they replace. */
  readonly #nextStates: ReadonlyMap<ValueId, MemoryClass>;

  constructor(
    private readonly graph: Graph,
    private readonly schedule: Schedule,
    private readonly view: MemoryView,
  ) {
    const step: (number | undefined)[] = graph.values.map(() => undefined);
    for (const [i, id] of schedule.order.entries()) step[id] = i;
    this.#step = step;
    this.#regionEnds = new Map(regionsOf(graph).map(({ id, last }) => [id, this.#stepOf(last)]));
    for (const value of graph.values) if (value.op === "yield") this.#writeInto(value.id, ensure(value.inputs[0], "carry"));
    this.#lastRead = this.#findLastReads();
    for (const value of graph.values) if (value.op === "yield") this.#findInPlace(value);
    this.#donatedTo = this.#findDonations();
    this.#overwriteOperands();
    this.#nextStates = new Map(
      [...this.#donatedTo].map(([state, next]) => {
        const { role } = this.#valueOf(state);
        return [next, role === "param" ? "params" : role === "optimizer" ? "optimizer" : "temporary"];
      }),
    );
  }

  /** The buffers of a value: none if it is a view, two if the host stores it between two steps. */
  buffersOf(value: Value): BufferRequest[] {
    if (this.#isView(value)) return [];
    const request = { value: value.id, bytes: this.view.bytes(value), kind: this.#classOf(value) };
    if (value.op === "parameter") return [{ ...request, from: -1, to: this.#lastStepOfState(value.id) }];
    const at = this.#stepOf(value.id);
    const from = this.schedule.startBefore.get(value.id) ?? at;
    const to = Math.max(at, this.#lastRead[value.id] ?? at, value.op === "carry" ? this.#lastReadOfCarry(value) : at);
    const offloaded = this.view.offloaded?.get(value.id);
    if (offloaded === undefined) return [{ ...request, from, to }];
    return [
      { ...request, from, to: offloaded.after },
      { ...request, from: offloaded.reload, to },
    ];
  }

  /** A carry is live until the last read of its yield. */
  #lastReadOfCarry({ id, scope }: Value): number {
    const end = ensure(this.#regionEnds.get(ensure(scope.region, "region").id), "end of a region");
    return (this.#ofCarry.get(id) ?? []).reduce((last, by) => Math.max(last, this.#lastRead[by] ?? 0), end);
  }

  #isSumOfGradients({ id }: Value): boolean {
    return (this.#ofCarry.get(id) ?? []).some((by) => this.#valueOf(by).role === "gradient");
  }

  #findInPlace({ inputs, scope }: Value): void {
    const [carry, next] = inputs.map((id) => this.#valueOf(id)) as [Value, Value];
    const isUpdate = elementwiseNames.has(next.op) || next.op === "dynamic_update_slice";
    const isOfBody = next.scope.region?.id === scope.region?.id && next.op !== "carry" && next.inputs.includes(carry.id);
    if (!isUpdate || !isOfBody || this.#isView(next)) return;
    if ((this.#lastRead[carry.id] ?? -1) <= this.#stepOf(next.id)) this.#writeInto(next.id, carry.id);
  }

  #writeInto(id: ValueId, carry: ValueId): void {
    this.#inCarry.set(id, carry);
    const known = this.#ofCarry.get(carry);
    if (known === undefined) this.#ofCarry.set(carry, [id]);
    else known.push(id);
  }

  /** Writes values into the buffers of operands, in the order of the schedule. States keep their buffers. */
  #overwriteOperands(): void {
    const { overwrites } = this.view;
    if (overwrites === undefined) return;
    const nextStates = new Set(this.#donatedTo.values());
    for (const id of this.schedule.order) {
      const value = this.#valueOf(id);
      if (!nextStates.has(id) && !this.#isView(value)) this.#overwriteOperand(value, overwrites(value));
    }
  }

  /** Writes a value into the buffer of the first operand that allows it, and extends the lifetime of this buffer. */
  #overwriteOperand(value: Value, operands: readonly ValueId[]): void {
    const at = this.#stepOf(value.id);
    const bytes = this.view.bytes(value);
    for (const operand of operands) {
      const owner = this.#valueOf(this.#storage(operand));
      if (owner.op === "parameter" || this.#lastRead[owner.id] !== at || this.view.bytes(owner) !== bytes) continue;
      this.#overwritten.set(value.id, owner.id);
      this.#lastRead[owner.id] = Math.max(at, this.#lastRead[value.id] ?? at);
      return;
    }
  }

  /** The next state reuses the buffer of the current state if no later step reads the current state. */
  #lastStepOfState(state: ValueId): number {
    const last = this.schedule.order.length;
    const next = this.#donatedTo.get(state);
    if (next === undefined || this.#valueOf(next).op === "parameter") return last;
    const nextWritten = this.#step[next] ?? last;
    return (this.#lastRead[state] ?? -1) <= nextWritten ? nextWritten - 1 : last;
  }

  /** Visits steps from the last to the first, so that a read of a view counts as a read of its operand. */
  #findLastReads(): number[] {
    const { order } = this.schedule;
    const lastRead = this.graph.values.map(() => -1);
    const outputs = new Set(this.graph.outputs.map((o) => o.value));
    for (let at = order.length - 1; at >= 0; at--) {
      const id = ensure(order[at], "step");
      const value = this.#valueOf(id);
      if (outputs.has(id)) lastRead[id] = order.length;
      const readAt = this.#isView(value) ? (lastRead[id] ?? -1) : at;
      const region = value.scope.region?.id;
      for (const [i, input] of value.inputs.entries()) {
        // A carry is live until the last read of its yield, which is no read of the body.
        if (value.op === "yield" && i === 0) continue;
        const again = this.#valueOf(input).scope.region?.id === region ? undefined : this.#regionEnds.get(region ?? -1);
        const last = value.op === "yield" ? at : Math.max(readAt, again ?? -1);
        lastRead[input] = Math.max(lastRead[input] ?? -1, last);
      }
    }
    return lastRead;
  }

  #findDonations(): Map<ValueId, ValueId> {
    const states = new Map(this.graph.values.flatMap((value) => (value.op === "parameter" ? [[value.attrs.name, value.id] as const] : [])));
    return new Map(
      this.graph.outputs.flatMap(({ name, value }) => {
        const state = states.get(name);
        return state === undefined || state === value ? [] : [[state, this.#storage(value)] as const];
      }),
    );
  }

  #classOf(value: Value): MemoryClass {
    const replaces = this.#nextStates.get(value.id);
    if (replaces !== undefined) return replaces;
    if ((value.role === "param" && value.op === "parameter") || value.role === "gathered") return "params";
    if (value.role === "optimizer") return "optimizer";
    if (value.role === "gradient" || (value.op === "carry" && this.#isSumOfGradients(value))) return "gradients";
    if (value.scope.phase === "forward" && value.op !== "parameter" && this.#isReadByBackward(value)) return "activations";
    return "temporary";
  }

  #isReadByBackward(value: Value): boolean {
    const reader = this.schedule.order[this.#lastRead[value.id] ?? -1];
    return reader !== undefined && this.#valueOf(reader).scope.phase !== "forward";
  }

  #isView(value: Value): boolean {
    return value.op === "reshape" || this.view.fused[value.id] === true || this.#inCarry.has(value.id) || this.#overwritten.has(value.id);
  }

  /** The value in whose buffer `id` is stored. */
  #storage(id: ValueId): ValueId {
    const value = this.#valueOf(id);
    if (value.op === "reshape") return this.#storage(ensure(value.inputs[0], "operand"));
    return this.#inCarry.get(id) ?? this.#overwritten.get(id) ?? id;
  }

  #stepOf(id: ValueId): number {
    return ensure(this.#step[id], "step");
  }

  #valueOf(id: ValueId): Value {
    return ensure(this.graph.values[id], "value");
  }
}

/** Live bytes after each step. Index 0 is the time before the first step. */
export function liveBytes(buffers: readonly BufferRequest[], steps: number): { total: number[]; byClass: Record<MemoryClass, number[]> } {
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

/** Offsets by best fit, in the order of first steps: the smallest gap between live buffers that is large enough, else the top. */
function placeBuffers(requests: readonly BufferRequest[]): BufferPlan[] {
  const sorted = [...requests].sort((a, b) => a.from - b.from || b.to - a.to || b.bytes - a.bytes);
  const live: BufferPlan[] = [];
  const byLastStep = new Map<number, BufferPlan[]>();
  let now = -1;
  // The states are below all other buffers for most of the step. The search for a gap skips the first `packed` buffers, which have no gap.
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
    for (; now < request.from; now++) for (const dead of byLastStep.get(now) ?? []) remove(dead);
    const placed = { ...request, offset: request.bytes === 0 ? 0 : bestGap(live, packed, top, request.bytes) };
    if (placed.bytes > 0) {
      insert(placed);
      const ending = byLastStep.get(placed.to);
      if (ending === undefined) byLastStep.set(placed.to, [placed]);
      else ending.push(placed);
    }
    return placed;
  });
}

/** The first index with an offset of at least `offset`. */
function insertionPoint(live: readonly BufferPlan[], offset: number): number {
  let [low, high] = [0, live.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((live[middle]?.offset ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `live` is sorted by offset. The first `packed` buffers have no gap and end at `bottom`. */
function bestGap(live: readonly BufferPlan[], packed: number, bottom: number, bytes: number): number {
  let [best, bestSize, top] = [-1, Infinity, bottom];
  for (let i = packed; i < live.length; i++) {
    const buffer = ensure(live[i], "buffer");
    const gap = buffer.offset - top;
    if (gap >= bytes && gap < bestSize) [best, bestSize] = [top, gap];
    top = Math.max(top, buffer.offset + buffer.bytes);
  }
  return best >= 0 ? best : top;
}

/** Replays a plan, and checks that live buffers do not overlap and that the highest sums of live bytes are the peaks of the plan. */
export function verifyMemory(plan: MemoryPlan, steps: number): void {
  const { total, byClass } = liveBytes(plan.buffers, steps);
  assert(highest(total) === plan.peakBytes, "the peak is that of the replay", highest(total), plan.peakBytes);
  for (const kind of memoryClasses)
    assert(highest(byClass[kind]) === plan.peakByClass[kind], "the peak of a class is that of the replay", kind);
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
  assert(plan.arenaBytes >= plan.peakBytes, "the arena is at least as large as the peak", plan.arenaBytes, plan.peakBytes);
}
