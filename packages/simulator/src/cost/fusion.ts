import { must } from "@lapidary/std";
import { type Graph, type Value, type ValueId, elementwiseNames, ops, sizeOf } from "@lapidary/ir";
import { type AttentionKernel, attentionKernels } from "./attention.js";

/**
 * Which values a chip computes in one kernel, by rules that stand for what XLA does on a TPU:
 *
 *  1. attention is one kernel a pass (see `attention.ts`);
 *  2. `broadcast_in_dim`, `constant` and `iota`, and what cheap elementwise ops make of these alone (masks), are made where they are used; a `reshape` is a view;
 *  3. elementwise ops, slices, pads and concatenations of one pass and of about one size join the loop that makes one of their operands, as long as
 *     nothing outside the loop has read from it; a reduction joins the loop that makes its operand, and closes it;
 *  4. a loop without reductions that is the only reader of a product made last of all it reads runs where the product's tiles leave the matrix unit;
 *  5. a value that one cheap elementwise op makes of one array of its size, for loops only, is made again in each of them;
 *  6. all else is a kernel of its own.
 *
 * Invariants: every value that is not a parameter, a collective, a view or a producer belongs to one kernel; kernels stand where their last value stands in the order.
 */
export interface Kernel {
  readonly kind: "attention" | "product" | "loop" | "lookup";
  /** In order; the last gives the kernel its place. */
  readonly members: readonly ValueId[];
  /** Values in memory that it reads, each once. */
  readonly reads: readonly ValueId[];
  /** Members that others read. */
  readonly writes: readonly ValueId[];
  readonly attention?: AttentionKernel;
}

export interface Fusion {
  readonly kernels: readonly Kernel[];
  /** Values that have no buffer of their own. */
  readonly fused: readonly boolean[];
}

const isProducer = (value: Value): boolean => ops[value.op].producer;
const isCheap = (value: Value): boolean => elementwiseNames.has(value.op) && !ops[value.op].transcendental;
const isLoopOp = (value: Value): boolean => elementwiseNames.has(value.op) || ops[value.op].movesData;

interface Cluster {
  members: ValueId[];
  size: number;
  open: boolean;
  reduces: boolean;
  /** Set when another cluster has taken its members. */
  into?: Cluster;
}

export function fuse(graph: Graph, order: readonly ValueId[]): Fusion {
  const at = (id: ValueId): Value => must(graph.values[id], "value");
  const users = usersOf(graph);
  const attention = attentionKernels(graph, users);
  const inAttention = new Map(attention.flatMap((kernel) => kernel.members.map((id) => [id, kernel] as const)));
  const position = new Map(order.map((id, i) => [id, i]));
  const placeOf = (id: ValueId): number => position.get(id) ?? -1;
  const outputs = new Set(graph.outputs.map((o) => o.value));
  const cheap = cheapValues(graph, users, outputs);
  const isView = (value: Value): boolean => value.op === "reshape" || isProducer(value) || cheap[value.id] === true;

  /** What lies in memory behind views and producers. */
  const sources = (id: ValueId): ValueId[] => (isView(at(id)) ? at(id).inputs.flatMap(sources) : [id]);

  const clusterOf = new Map<ValueId, Cluster>();
  const current = (cluster: Cluster): Cluster => (cluster.into === undefined ? cluster : current(cluster.into));
  const close = (id: ValueId): void => {
    const cluster = clusterOf.get(id);
    if (cluster !== undefined) current(cluster).open = false;
  };

  for (const id of order) {
    const value = at(id);
    if (isView(value)) continue;
    const inputs = value.inputs.flatMap(sources);
    const joins = (isLoopOp(value) || value.op === "reduce") && !inAttention.has(id);
    const size = sizeOf(value.op === "reduce" ? at(must(value.inputs[0], "operand")).type.dims : value.type.dims);
    let own: Cluster | undefined;
    if (joins)
      for (const input of inputs) {
        const found = clusterOf.get(input);
        if (found === undefined) continue;
        const cluster = current(found);
        if (
          cluster === own ||
          !cluster.open ||
          cluster.reduces ||
          at(input).scope.phase !== value.scope.phase ||
          size > 4 * cluster.size ||
          cluster.size > 4 * size
        )
          continue;
        if (own === undefined) own = cluster;
        else {
          own.members.push(...cluster.members);
          own.size = Math.max(own.size, cluster.size);
          cluster.into = own;
        }
      }
    for (const input of inputs) {
      const cluster = clusterOf.get(input);
      if (cluster !== undefined && current(cluster) !== own) close(input);
    }
    if (inAttention.has(id) || ops[value.op].communicates) continue;
    own ??= { members: [], size, open: joins, reduces: false };
    own.members.push(id);
    own.size = Math.max(own.size, size);
    if (value.op === "reduce") own.reduces = true;
    clusterOf.set(id, own);
  }

  const clusters = [...new Set([...clusterOf.values()].map(current))];
  const owner = new Map<ValueId, object>([
    ...inAttention,
    ...clusters.flatMap((cluster) => cluster.members.map((id) => [id, cluster] as const)),
  ]);
  /** Those that read a value's memory, through views. */
  const readers = (id: ValueId): ValueId[] => (users[id] ?? []).flatMap((user) => (isView(at(user)) ? readers(user) : [user]));
  const leaves = (id: ValueId): boolean =>
    outputs.has(id) ||
    at(id).role !== undefined ||
    (users[id] ?? []).some((user) => isView(at(user)) && outputs.has(user)) ||
    readers(id).some((user) => owner.get(user) !== owner.get(id));

  // Rule 4: loops behind products.
  const epilogues = new Map<Cluster, Cluster>();
  for (const cluster of clusters) {
    if (cluster.reduces || !isLoopOp(at(must(cluster.members[0], "member")))) continue;
    const outside = [...new Set(cluster.members.flatMap((id) => at(id).inputs.flatMap(sources)))].filter((id) => owner.get(id) !== cluster);
    const last = outside.reduce<ValueId | undefined>((a, b) => (a === undefined || placeOf(b) > placeOf(a) ? b : a), undefined);
    const product = last === undefined ? undefined : owner.get(last);
    if (last === undefined || at(last).op !== "dot_general" || inAttention.has(last) || outputs.has(last) || at(last).role !== undefined)
      continue;
    if (
      at(last).scope.phase !== at(must(cluster.members[0], "member")).scope.phase ||
      readers(last).some((user) => owner.get(user) !== cluster)
    )
      continue;
    if (sizeOf(at(last).type.dims) > 4 * cluster.size || cluster.size > 4 * sizeOf(at(last).type.dims)) continue;
    epilogues.set(product as Cluster, cluster);
    for (const id of cluster.members) owner.set(id, product as Cluster);
  }
  const absorbed = new Set(epilogues.values());

  const byPlace = (a: ValueId, b: ValueId): number => placeOf(a) - placeOf(b);
  const kernels: Kernel[] = [];
  const fused = graph.values.map((value) => isProducer(value) || cheap[value.id] === true);
  const add = (kind: Kernel["kind"], unsorted: readonly ValueId[], kernel?: AttentionKernel): void => {
    const members = [...unsorted].sort(byPlace);
    const writes = members.filter((id) => leaves(id) && (kernel === undefined || kernel.results.includes(id)));
    const inside = new Set(members);
    const reads = [...new Set((kernel === undefined ? members.flatMap((id) => at(id).inputs) : kernel.reads).flatMap(sources))].filter(
      (id) => !inside.has(id),
    );
    for (const id of members) if (!writes.includes(id)) fused[id] = true;
    kernels.push({ kind, members, reads, writes, ...(kernel === undefined ? {} : { attention: kernel }) });
  };
  for (const kernel of attention) add("attention", kernel.members, kernel);
  for (const cluster of clusters) {
    if (absorbed.has(cluster)) continue;
    add(ops[at(must(cluster.members[0], "member")).op].kernel, [...cluster.members, ...(epilogues.get(cluster)?.members ?? [])]);
  }
  kernels.sort((a, b) => byPlace(must(a.members.at(-1), "member"), must(b.members.at(-1), "member")));
  return { kernels, fused };
}

/** Values that rules 2 and 5 make where they are used. */
function cheapValues(graph: Graph, users: readonly (readonly ValueId[])[], outputs: ReadonlySet<ValueId>): boolean[] {
  const at = (id: ValueId): Value => must(graph.values[id], "value");
  /** Follow from no array at all. */
  const bare: boolean[] = [];
  for (const value of graph.values)
    bare.push((isProducer(value) || value.op === "reshape" || isCheap(value)) && value.inputs.every((id) => bare[id] === true));
  return graph.values.map((value) => {
    if (!isCheap(value) || value.role !== undefined || outputs.has(value.id)) return false;
    if (bare[value.id] === true) return true;
    const operands = new Set(value.inputs.filter((id) => !isProducer(at(id)) || at(id).inputs.length > 0));
    const [operand] = operands;
    if (
      operands.size !== 1 ||
      operand === undefined ||
      sizeOf(at(operand).type.dims) !== sizeOf(value.type.dims) ||
      isProducer(at(operand))
    )
      return false;
    return (users[value.id] ?? []).every((id) => isLoopOp(at(id)) || at(id).op === "reduce");
  });
}

/** Values that read each value. */
export function usersOf(graph: Graph): ValueId[][] {
  const users: ValueId[][] = graph.values.map(() => []);
  for (const value of graph.values) for (const id of new Set(value.inputs)) users[id]?.push(value.id);
  return users;
}
