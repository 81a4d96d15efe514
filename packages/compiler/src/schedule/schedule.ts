import { assert, ensure } from "@lapidary/std";
import {
  type Graph,
  type Region,
  type Value,
  type ValueId,
  collectiveNames,
  elementwiseNames,
  ops,
  passOf,
  printValue,
  regionsOf,
  sizeOf,
  useCounts,
} from "@lapidary/ir";

/**
 * The start and the end of every collective. Values are computed in the order of the program. A collective is *started* before its
 * position and is *done* at its first use, so that it overlaps the values between them:
 *
 *     start  all_gather w₃          issued before layer 2
 *     …      layer 2
 *     done   all_gather w₃          waited for before its first use in layer 3
 *
 * Invariants: operand ≤ start ≤ done ≤ first use, in steps of the order; every value but parameters has one step; the steps of a region
 * are neighbours, and a collective starts and is done in one region.
 */
export interface Schedule {
  /** Execution order of all values that are not parameters. The position of a collective is its `done`. */
  readonly order: readonly ValueId[];
  /** For collectives: the index in `order` before which it is issued. */
  readonly startBefore: ReadonlyMap<ValueId, number>;
}

/** Collectives whose operand is not larger than their result, so that an early end frees no memory. */
const keepsSize: ReadonlySet<string> = new Set(["all_gather", "all_to_all", "collective_permute"]);

export interface ScheduleOptions {
  /** How many blocks ahead the gathers of params are issued. 0: immediately before their use. */
  readonly prefetchBlocks: number;
}

/**
 * Gathers with an early operand (params) are issued `prefetchBlocks` blocks before the block that uses them. Every other
 * collective is issued as soon as its operand exists, and is done at its first use.
 */
export function schedule(graph: Graph, options: ScheduleOptions = { prefetchBlocks: 1 }): Schedule {
  const firstUse = new Map<ValueId, ValueId>();
  for (const value of graph.values) for (const id of value.inputs) if (!firstUse.has(id)) firstUse.set(id, value.id);
  const isAsync = (value: Value): boolean => ops[value.op].communicates;
  const regions = new Map(regionsOf(graph).map((region) => [region.id, region]));
  const starts = blockStarts(
    graph,
    graph.values.map((value) => value.id),
  );
  // A collective is done before its first use. A reduction is done at the latest at the begin of the block after the block of its
  // operand, so that the unreduced array is freed. If the operand is itself a moved reduction, as between pods, its new position
  // counts. A collective that only outputs use keeps its position. The followers of a reduction move with it.
  const before = new Map<ValueId, ValueId[]>();
  const movedTo = new Map<ValueId, ValueId>();
  const followers = followersOf(graph);
  const move = (id: ValueId, at: ValueId): void => {
    before.set(at, [...(before.get(at) ?? []), id]);
    movedTo.set(id, at);
  };
  for (const value of graph.values) {
    const use = firstUse.get(value.id);
    const leader = followers.has(value.id) ? movedTo.get(ensure(value.inputs[0], "operand")) : undefined;
    if (leader !== undefined && leader > value.id) move(value.id, leader);
    if (!isAsync(value) || (use === undefined && value.op === "all_gather")) continue;
    const madeAt = Math.max(value.id, ...value.inputs.map((id) => movedTo.get(id) ?? 0));
    const soon = keepsSize.has(value.op) ? undefined : starts[starts.findLastIndex((s) => s <= madeAt) + 1];
    const at = beforeRegion(graph, regions, value, Math.min(effectiveUse(graph, value, firstUse, followers) ?? Infinity, soon ?? Infinity));
    if (at !== Infinity && at > value.id) move(value.id, at);
  }
  const order: ValueId[] = [];
  const placed = new Set<ValueId>();
  const place = (value: Value): void => {
    if (placed.has(value.id)) return;
    placed.add(value.id);
    for (const id of value.inputs) place(ensure(graph.values[id], "operand"));
    for (const id of before.get(value.id) ?? []) place(ensure(graph.values[id], "collective"));
    if (value.op !== "parameter") order.push(value.id);
  };
  for (const value of beforeGathers(graph)) place(value);
  for (const value of graph.values) if (!movedTo.has(value.id)) place(value);

  const step = new Map(order.map((id, i) => [id, i]));
  const blocks = blockStarts(graph, order);
  const begins = segmentBegins(graph, order);
  const startBefore = new Map<ValueId, number>();
  for (const value of graph.values) {
    if (!isAsync(value)) continue;
    const done = ensure(step.get(value.id), "step");
    const ready = Math.max(0, ...value.inputs.map((id) => (step.get(id) ?? -1) + 1));
    startBefore.set(
      value.id,
      Math.min(
        done,
        Math.max(
          ensure(begins[done], "segment"),
          value.op === "all_gather" ? Math.max(ready, prefetchPoint(blocks, done, options.prefetchBlocks)) : ready,
        ),
      ),
    );
  }
  return { order, startBefore };
}

/** The value before which a collective may move: a collective stays in its region, or outside of all regions. */
function beforeRegion(graph: Graph, regions: ReadonlyMap<number, Region>, { scope }: Value, at: number): number {
  const target = graph.values[at]?.scope.region;
  const own = scope.region === undefined ? undefined : regions.get(scope.region.id);
  if (own !== undefined) return Math.min(at, ensure(own.yields[0], "yield"));
  return target === undefined ? at : ensure(regions.get(target.id), "region").first;
}

/** By step, the first step of its segment: of its region, or of the stretch of steps between two regions. */
function segmentBegins(graph: Graph, order: readonly ValueId[]): number[] {
  let [begin, region]: [number, number | undefined] = [0, undefined];
  return order.map((id, step) => {
    const own = graph.values[id]?.scope.region?.id;
    if (own !== region) [begin, region] = [step, own];
    return begin;
  });
}

/** The first use of a collective's result. For a chain of reductions it is the first use of the last one, and for followers that of theirs. */
function effectiveUse(
  graph: Graph,
  value: Value,
  firstUse: ReadonlyMap<ValueId, ValueId>,
  followers: ReadonlySet<ValueId>,
): ValueId | undefined {
  const use = firstUse.get(value.id);
  if (use === undefined) return undefined;
  const user = ensure(graph.values[use], "use");
  const isChained = (user.op === "all_reduce" && user.inputs[0] === value.id) || followers.has(use);
  return isChained ? effectiveUse(graph, user, firstUse, followers) : use;
}

/**
 * Conversions, views and elementwise ops of one operand, which read only a reduced value or another follower. An exported step converts and
 * transposes a gradient as soon as it is reduced, and reads it in the update.
 */
function followersOf(graph: Graph): Set<ValueId> {
  const uses = useCounts(graph);
  const outputs = new Set(graph.outputs.map(({ value }) => value));
  const followers = new Set<ValueId>();
  for (const value of graph.values) {
    const { id, inputs, role, scope } = value;
    const [operand, other] = inputs.map((input) => ensure(graph.values[input], "operand"));
    if (operand === undefined || other !== undefined || role !== undefined || scope.region !== undefined || outputs.has(id)) continue;
    const isLate = operand.op === "all_reduce" || operand.op === "reduce_scatter" || followers.has(operand.id);
    if (isLate && uses[operand.id] === 1 && isElementwiseOrView(value, operand)) followers.add(id);
  }
  return followers;
}

/** Whether a value has an element for each element of its operand. A broadcast may add dims of size 1. */
const isElementwiseOrView = ({ op, type }: Value, operand: Value): boolean =>
  op === "reshape" ||
  op === "transpose" ||
  elementwiseNames.has(op) ||
  (op === "broadcast_in_dim" && sizeOf(type.dims) === sizeOf(operand.type.dims));

/**
 * The values between params and the operands of gathers, if these are only views, slices and elementwise ops. They are computed first, so that
 * the gathers can be issued early.
 */
function beforeGathers(graph: Graph): Value[] {
  const early = graph.values.map(() => false);
  for (const value of graph.values)
    early[value.id] =
      value.scope.region !== undefined
        ? false
        : value.op === "parameter"
          ? value.role === "param"
          : value.op === "constant" ||
            ((value.op === "reshape" || value.op === "slice" || elementwiseNames.has(value.op)) &&
              value.inputs.every((id) => early[id] === true));
  const needed = new Set<ValueId>();
  const need = (id: ValueId): void => {
    if (needed.has(id)) return;
    needed.add(id);
    for (const input of ensure(graph.values[id], "operand").inputs) need(input);
  };
  for (const value of graph.values) if (value.op === "all_gather") for (const id of value.inputs) if (early[id] === true) need(id);
  return graph.values.filter((value) => needed.has(value.id) && value.op !== "parameter");
}

/** Steps at which a pass of a block begins. A value with a role begins no block, because its collectives decide its position. */
function blockStarts(graph: Graph, order: readonly ValueId[]): number[] {
  const starts = [0];
  let current: string | undefined;
  order.forEach((id, i) => {
    const value = ensure(graph.values[id], "value");
    if (collectiveNames.has(value.op) || value.op === "constant" || value.role !== undefined) return;
    const { block, phase } = value.scope;
    const key = `${block} ${passOf(phase)}`;
    if (block !== undefined && key !== current) {
      starts.push(i);
      current = key;
    }
  });
  return starts;
}

function prefetchPoint(starts: readonly number[], step: number, blocks: number): number {
  if (blocks === 0) return step;
  let at = 0;
  while (at + 1 < starts.length && (starts[at + 1] ?? 0) <= step) at++;
  return starts[Math.max(0, at - blocks)] ?? 0;
}

/** Checks the invariants of a schedule. */
export function verifySchedule(graph: Graph, { order, startBefore }: Schedule): void {
  const step = new Map(order.map((id, i) => [id, i]));
  assert(
    step.size === graph.values.filter((value) => value.op !== "parameter").length && step.size === order.length,
    "every value has one step",
  );
  const begins = segmentBegins(graph, order);
  for (const { id, first, last, carries, yields } of regionsOf(graph)) {
    const [from, to] = [ensure(step.get(first), "carry"), ensure(step.get(last), "yield")];
    const inRegion = order.slice(from, to + 1).every((at) => graph.values[at]?.scope.region?.id === id);
    const members = graph.values.filter(({ scope }) => scope.region?.id === id).length;
    assert(inRegion && to - from + 1 === members, "the steps of a region are neighbours", id);
    assert(
      carries.every((carry, i) => step.get(carry) === from + i),
      "a region begins with its carries",
      id,
    );
    assert(
      yields.every((at, i) => step.get(at) === to - yields.length + 1 + i),
      "a region ends with its yields",
      id,
    );
  }
  for (const value of graph.values) {
    const at = step.get(value.id) ?? -1;
    for (const id of value.inputs) assert((step.get(id) ?? -1) < at, "operands come before their uses", value.name);
    const start = startBefore.get(value.id);
    if (start === undefined) continue;
    assert(begins[start] === begins[at], "a collective starts and is done in one region", value.name);
    assert(
      start <= at && value.inputs.every((id) => (step.get(id) ?? -1) < start),
      "a collective starts after its operand and before it is done",
      value.name,
      start,
      at,
    );
  }
}

/** The order as text, with a line for the start of every collective that is issued early. */
export function printSchedule(graph: Graph, { order, startBefore }: Schedule): string {
  const startsAt = new Map<number, ValueId[]>();
  for (const [id, at] of startBefore) startsAt.set(at, [...(startsAt.get(at) ?? []), id]);
  return order
    .flatMap((id, i) => {
      const value = ensure(graph.values[id], "value");
      const starts = (startsAt.get(i) ?? []).map((started) => `start %${started}`);
      return [...starts, `${startBefore.has(id) ? "done  " : ""}${printValue(graph, value)}`];
    })
    .join("\n");
}
