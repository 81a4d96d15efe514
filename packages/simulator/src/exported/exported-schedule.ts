import type { Program, Schedule } from "@lapidary/compiler";
import { type Graph, type Value, type ValueId, ops, passOf, regionsOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { WrittenValues } from "./written-values.js";

/**
 * The order in which XLA computes the exported step, as far as it decides the memory:
 *
 *  1. a gather is done directly before its first reader, and a reduction directly after its operand;
 *  2. gradients of vectors (of norms) are computed after the backward pass, because one collective reduces all of them. With split
 *     activations this does not happen, because each block waits for a reduction of its own, nor if the compiler replaces reduce_scatters;
 *  3. if the backward pass of a block gathers weights, gradients of weights are computed while gathers are in flight: that of the
 *     weight whose gather is next, and after the backward pass of attention those of all other weights of the block. If blocks
 *     that are computed again gather weights again, the gradient of the logits' matrix waits for these gathers instead of its own. In a
 *     chunk of the loss it does not, because the next chunk awaits it;
 *  4. if it does not, but gradients are reduced, reductions are combined over blocks: these gradients of a block are computed after the
 *     backward pass of the attention of the block before it;
 *  5. if gradients are reduced in two stages, a reduce_scatter in a pod and a reduction between pods, the gradients of the weights of all
 *     blocks are computed after the backward pass of the last block. The compiler does this only if memory suffices. If it does not, no gradient of
 *     a weight or of a vector waits.
 */
export function exportedSchedule(
  { chip }: Program,
  written: WrittenValues,
  memory: "ample" | "scarce",
  isAllReduced: (value: Value) => boolean,
): Schedule {
  const order = new OrderBuilder(chip, written, memory, isAllReduced).build();
  const step = new Map(order.map((id, i) => [id, i]));
  const startBefore = new Map<ValueId, number>();
  for (const { id, op } of chip.values) if (ops[op].communicates) startBefore.set(id, step.get(id) ?? 0);
  return { order, startBefore };
}

class OrderBuilder {
  readonly #order: ValueId[] = [];
  readonly #placed = new Set<ValueId>();
  readonly #postponed: ReadonlyMap<ValueId, readonly Value[]>;
  readonly #late: ReadonlySet<ValueId>;
  readonly #gradients: ReadonlySet<ValueId>;
  readonly #waiting: ReadonlySet<ValueId>;
  /** Whether blocks that are computed again gather their weights again. */
  readonly #gathersAgain: boolean;

  constructor(
    readonly graph: Graph,
    readonly written: WrittenValues,
    memory: "ample" | "scarce",
    isAllReduced: (value: Value) => boolean,
  ) {
    this.#gathersAgain = graph.values.some(({ op, role, scope }) => scope.phase === "recompute" && op === "all_gather" && role === "param");
    this.#gradients = weightGradients(graph);
    const isInTwoStages = [...this.#gradients].some((id) => isReducedTwice(written, written.at(id)));
    this.#late = memory === "scarce" && isInTwoStages ? new Set() : vectorGradients(graph, written, isAllReduced);
    this.#postponed = postponedGradients(graph, written, this.#gradients, memory);
    this.#waiting = new Set(
      [...this.#postponed.values()].flat().flatMap((value) => [value, ...reductionsOf(written, value)].map(({ id }) => id)),
    );
  }

  build(): ValueId[] {
    const waiting = this.#waiting;
    const isLater = (value: Value): boolean =>
      value.op === "all_gather" || this.#late.has(value.id) || waiting.has(value.id) || readsOne(value, waiting);
    for (const value of this.graph.values) {
      if (isLater(value)) continue;
      this.#place(value);
      for (const gradient of this.#postponed.get(value.id) ?? []) this.#placeWithReduction(gradient);
    }
    for (const value of this.graph.values) this.#place(value);
    return inSegments(this.graph, this.#order);
  }

  #place(value: Value): void {
    if (this.#placed.has(value.id) || value.op === "parameter") return;
    this.#placed.add(value.id);
    const gradients = this.#gradientsBefore(value);
    for (const { inputs } of [...gradients, value]) for (const id of inputs) this.#place(this.written.at(id));
    for (const gradient of gradients)
      if (value.scope.chunk === undefined) this.#placeWithReduction(gradient);
      else this.#placeWithEpilogue(gradient);
    this.#order.push(value.id);
    for (const gradient of gradients) this.#placeReductions(gradient);
  }

  /** The gradients of weights that are computed while the gather of a matmul of the backward pass is in flight. */
  #gradientsBefore(value: Value): Value[] {
    const { block, chunk, phase } = value.scope;
    if (value.op !== "dot_general" || (phase !== "backward" && chunk === undefined) || value.role === "gradient") return [];
    if (block === undefined && chunk === undefined && this.#gathersAgain) return [];
    const operands = value.inputs.map((id) => this.#source(id));
    if (!operands.some(({ op, role }) => op === "all_gather" && role === "param")) return [];
    return operands
      .filter(({ op }) => op !== "all_gather")
      .flatMap(({ id }) => this.written.readers(id))
      .map((id) => this.written.at(id))
      .filter(({ id, inputs }) => this.#gradients.has(id) && !this.#waiting.has(id) && id !== value.id && Math.max(...inputs) < value.id);
  }

  #source(id: ValueId): Value {
    const value = this.written.at(id);
    return this.written.isView(value) ? this.#source(ensure(value.inputs[0], "operand")) : value;
  }

  #placeWithReduction(value: Value): void {
    this.#placeWithEpilogue(value);
    this.#placeReductions(value);
  }

  #placeWithEpilogue(value: Value): void {
    this.#place(value);
    for (const reader of this.#epilogueOf(value)) this.#placeWithEpilogue(reader);
  }

  #placeReductions(value: Value): void {
    for (const reduction of reductionsOf(this.written, value)) this.#place(reduction);
    for (const reader of this.#epilogueOf(value)) this.#placeReductions(reader);
  }

  #epilogueOf({ id }: Value): Value[] {
    return this.written.isWritten(id) ? [] : this.written.readers(id).map((reader) => this.written.at(reader));
  }
}

/** The order with the values of each region together: its carries, its body, its yields. Within these, the order is kept. */
function inSegments(graph: Graph, order: readonly ValueId[]): ValueId[] {
  const regions = regionsOf(graph);
  if (regions.length === 0) return [...order];
  const parts = { carry: 0, yield: 2 } as const;
  const segmentOf = (id: ValueId): number => {
    const before = regions.filter(({ last }) => last < id).length;
    const { op, scope } = ensure(graph.values[id], "value");
    const part = op === "carry" || op === "yield" ? parts[op] : 1;
    return 4 * before + (scope.region === undefined ? 0 : 1 + part);
  };
  const segments = graph.values.map(({ id }) => segmentOf(id));
  return [...order].sort((a, b) => (segments[a] ?? 0) - (segments[b] ?? 0));
}

const readsOne = (value: Value, ids: ReadonlySet<ValueId>): boolean =>
  ops[value.op].communicates || value.op === "reshape" || value.op === "transpose" ? value.inputs.some((id) => ids.has(id)) : false;

/** Rule 2: gradients of vectors, and the collectives that reduce them. */
function vectorGradients(graph: Graph, written: WrittenValues, isAllReduced: (value: Value) => boolean): Set<ValueId> {
  const isVectorGradient = ({ op, role, inputs }: Value): boolean =>
    op === "reduce" && role === "gradient" && !inputs.some((id) => written.sources(id).some(({ op: source }) => ops[source].communicates));
  const late = new Set<ValueId>();
  for (const value of graph.values) {
    const { id, op, inputs } = value;
    if (!ops[op].communicates || isAllReduced(value)) continue;
    const reduced = inputs.filter((input) => late.has(input) || isVectorGradient(ensure(graph.values[input], "operand")));
    if (reduced.length > 0) for (const value of [...reduced, id]) late.add(value);
  }
  return late;
}

/** Rules 3 to 5: by the last matmul of attention in the backward pass of a block, the gradients of weights that follow it. */
function postponedGradients(
  graph: Graph,
  written: WrittenValues,
  gradients: ReadonlySet<ValueId>,
  memory: "ample" | "scarce",
): Map<ValueId, Value[]> {
  const postponed = new Map<ValueId, Value[]>();
  const attentions = new Map<number, ValueId>();
  const blocks = backwardOfBlocks(graph);
  for (const [block, values] of blocks) {
    const last = values.findLast((value) => value.op === "dot_general" && value.attrs.batch.length > 0);
    if (last !== undefined) attentions.set(block, last.id);
  }
  const last = Math.max(...attentions.values());
  for (const [block, values] of blocks) {
    const own = attentions.get(block);
    if (own === undefined) continue;
    const before = values.filter(({ id }) => gradients.has(id) && id < own);
    if (before.some((value) => isReducedTwice(written, value))) {
      if (memory === "ample") postponed.set(last, [...(postponed.get(last) ?? []), ...before]);
      continue;
    }
    const [, ...rest] = before;
    const isGathered = values.some(({ op, role }) => op === "all_gather" && role === "param");
    const isReduced = (value: Value): boolean => written.readers(value.id).some((id) => ops[written.at(id).op].communicates);
    if (rest.length === 0 || !(isGathered || rest.some(isReduced))) continue;
    const after = isGathered ? own : (attentions.get(block - 1) ?? own);
    postponed.set(after, [...(postponed.get(after) ?? []), ...rest]);
  }
  return postponed;
}

/** The collectives that reduce a value, in one or several stages. */
function reductionsOf(written: WrittenValues, { id }: Value): Value[] {
  return written.readers(id).flatMap((reader) => {
    const value = written.at(reader);
    return ops[value.op].communicates ? [value, ...reductionsOf(written, value)] : [];
  });
}

/** Whether chips of a pod reduce a value first, and pods then reduce the shards. */
const isReducedTwice = (written: WrittenValues, value: Value): boolean =>
  reductionsOf(written, value)
    .map(({ op }) => op)
    .join(" ")
    .startsWith("reduce_scatter all_reduce");

function backwardOfBlocks(graph: Graph): Map<number, Value[]> {
  const blocks = new Map<number, Value[]>();
  for (const value of graph.values) {
    const { block, phase } = value.scope;
    if (block === undefined || passOf(phase) !== "backward") continue;
    const values = blocks.get(block);
    if (values === undefined) blocks.set(block, [value]);
    else values.push(value);
  }
  return blocks;
}

/** Matmuls whose results are gradients of weights, or terms of such a gradient, as for a matrix that the model uses twice. */
function weightGradients(graph: Graph): Set<ValueId> {
  const found = new Set<ValueId>();
  const visit = (id: ValueId): void => {
    const { op, inputs } = ensure(graph.values[id], "value");
    if (op === "dot_general") found.add(id);
    else if (op === "reshape" || op === "transpose" || op === "add" || ops[op].communicates) for (const input of inputs) visit(input);
  };
  for (const { id, role } of graph.values) if (role === "gradient") visit(id);
  return found;
}
