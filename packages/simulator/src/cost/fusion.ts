import { ensure } from "@lapidary/std";
import { type Graph, type Value, type ValueId, bytesPerElement, elementwiseNames, ops, sizeOf } from "@lapidary/ir";
import { type AttentionForm, type AttentionKernel, attentionKernels } from "./attention.js";

/**
 * Decides which values a chip computes in one kernel, by rules that model XLA on a TPU:
 *
 *  1. attention is one kernel per pass (see `attention.ts`);
 *  2. the users of `broadcast_in_dim`, `constant` and `iota` compute them, and also the results of cheap elementwise ops on only these
 *     (masks); a `reshape` is a view;
 *  3. elementwise ops, slices, pads and concatenations of one pass, of one chunk of the loss and of similar size join the loop of one of their operands if
 *     nothing outside the loop has read from it; a reduction joins the loop of its operand, and is its end;
 *  4. a loop without reductions is the epilogue of a matmul if it is the only reader of the matmul, and the matmul is its last operand;
 *  5. the result of one cheap elementwise op on one array of its size is computed in each of its users, if these are loops; a conversion to
 *     a wider type also in matmuls;
 *  6. a region writes the value of the next iteration into the buffer of its carry, so that a yield is a view;
 *  7. every other value is its own kernel.
 *
 * Invariants: every value that is not a parameter, a collective, a view or a producer belongs to one kernel; the position of a
 * kernel in the order is that of its last value.
 */
export interface Kernel {
  readonly kind: "attention" | "product" | "loop" | "lookup";
  /** In order. The position of the last is that of the kernel. */
  readonly members: readonly ValueId[];
  /** Values in memory that it reads, each once. */
  readonly reads: readonly ValueId[];
  /** Members that other kernels read. */
  readonly writes: readonly ValueId[];
  readonly attention?: AttentionKernel;
}

export interface Fusion {
  readonly kernels: readonly Kernel[];
  /** Values without their own buffer. */
  readonly fused: readonly boolean[];
}

const isProducer = (value: Value): boolean => ops[value.op].producer;
const isCheap = (value: Value): boolean => elementwiseNames.has(value.op) && !ops[value.op].transcendental;
const isLoopOp = (value: Value): boolean => elementwiseNames.has(value.op) || (ops[value.op].movesData && value.op !== "carry");

/** The values of one loop, or one value that is its own kernel. */
interface Cluster {
  members: ValueId[];
  /** Elements of its largest value. */
  size: number;
  /** Whether values may still join. */
  open: boolean;
  reduces: boolean;
  /** The cluster that contains its members now. */
  mergedInto?: Cluster;
}

export function fuse(graph: Graph, order: readonly ValueId[], attention: AttentionForm = "flash"): Fusion {
  const values = new FusionValues(graph, order, attention);
  const clusters = new Clusters(values);
  for (const id of order) clusters.add(values.at(id));
  return new Kernels(values, clusters.all()).fuse();
}

/** A graph, and the relations between its values that fusion uses. */
class FusionValues {
  readonly attention: readonly AttentionKernel[];
  readonly inAttention: ReadonlyMap<ValueId, AttentionKernel>;
  readonly outputs: ReadonlySet<ValueId>;
  readonly #cheap: readonly boolean[];
  readonly #users: readonly (readonly ValueId[])[];
  readonly #position: ReadonlyMap<ValueId, number>;

  constructor(
    readonly graph: Graph,
    order: readonly ValueId[],
    attention: AttentionForm,
  ) {
    this.#users = usersOf(graph);
    this.attention = attention === "flash" ? attentionKernels(graph, this.#users) : [];
    this.inAttention = new Map(this.attention.flatMap((kernel) => kernel.members.map((id) => [id, kernel] as const)));
    this.#position = new Map(order.map((id, i) => [id, i]));
    this.outputs = new Set(graph.outputs.map((o) => o.value));
    this.#cheap = cheapValues(graph, this.#users, this.outputs);
  }

  at(id: ValueId): Value {
    return ensure(this.graph.values[id], "value");
  }

  position(id: ValueId): number {
    return this.#position.get(id) ?? -1;
  }

  /** Whether the users of a value compute it when they read it. */
  isInline(value: Value): boolean {
    return isProducer(value) || this.#cheap[value.id] === true;
  }

  isView(value: Value): boolean {
    return value.op === "reshape" || value.op === "yield" || this.isInline(value);
  }

  /** The values in memory that a read of `id` reads, through views and producers. */
  sources(id: ValueId): ValueId[] {
    const value = this.at(id);
    if (value.op === "yield") return this.sources(ensure(value.inputs[1], "next"));
    return this.isView(value) ? value.inputs.flatMap((input) => this.sources(input)) : [id];
  }

  /** The values that read the memory of `id`, through views. */
  readers(id: ValueId): ValueId[] {
    return this.users(id).flatMap((user) => (this.isView(this.at(user)) ? this.readers(user) : [user]));
  }

  users(id: ValueId): readonly ValueId[] {
    return this.#users[id] ?? [];
  }

  /** Whether `id` is in memory after the step. */
  isKept(id: ValueId): boolean {
    return this.outputs.has(id) || this.at(id).role !== undefined;
  }
}

/** Whether two values belong to one pass, and to one chunk of the loss and one region if they have one. */
const isOfSamePart = (a: Value, b: Value): boolean =>
  a.scope.phase === b.scope.phase && a.scope.chunk === b.scope.chunk && a.scope.region?.id === b.scope.region?.id;

const isOfSimilarSize = (a: number, b: number): boolean => a <= 4 * b && b <= 4 * a;

/** Rule 3, and rule 7 for the values that join no loop. */
class Clusters {
  readonly #clusterOf = new Map<ValueId, Cluster>();

  constructor(readonly values: FusionValues) {}

  /** Values must be added in their order of execution. */
  add(value: Value): void {
    const { values } = this;
    if (values.isView(value)) return;
    const inputs = value.inputs.flatMap((input) => values.sources(input));
    const joins = (isLoopOp(value) || value.op === "reduce") && !values.inAttention.has(value.id);
    const size = sizeOf(value.op === "reduce" ? values.at(ensure(value.inputs[0], "operand")).type.dims : value.type.dims);
    const joined = joins ? this.#loopFor(value, inputs, size) : undefined;
    for (const input of inputs) {
      const cluster = this.#current(input);
      if (cluster !== undefined && cluster !== joined) cluster.open = false;
    }
    if (values.inAttention.has(value.id) || ops[value.op].communicates) return;
    const own = joined ?? { members: [], size, open: joins, reduces: false };
    own.members.push(value.id);
    own.size = Math.max(own.size, size);
    if (value.op === "reduce") own.reduces = true;
    this.#clusterOf.set(value.id, own);
  }

  all(): Cluster[] {
    return [...new Set([...this.#clusterOf.values()].map(mergedCluster))];
  }

  /** The loop of an operand that the value can join, merged with the loops of all other operands that it can join. */
  #loopFor(value: Value, inputs: readonly ValueId[], size: number): Cluster | undefined {
    let own: Cluster | undefined;
    for (const input of inputs) {
      const cluster = this.#current(input);
      if (cluster === undefined || cluster === own || !cluster.open || cluster.reduces) continue;
      if (!isOfSamePart(this.values.at(input), value) || !isOfSimilarSize(size, cluster.size)) continue;
      if (own === undefined) own = cluster;
      else {
        own.members.push(...cluster.members);
        own.size = Math.max(own.size, cluster.size);
        cluster.mergedInto = own;
      }
    }
    return own;
  }

  #current(id: ValueId): Cluster | undefined {
    const cluster = this.#clusterOf.get(id);
    return cluster === undefined ? undefined : mergedCluster(cluster);
  }
}

const mergedCluster = (cluster: Cluster): Cluster => (cluster.mergedInto === undefined ? cluster : mergedCluster(cluster.mergedInto));

/** Converts clusters and attention to kernels. */
class Kernels {
  /** The cluster or attention kernel that computes a value. */
  readonly #owner: Map<ValueId, Cluster | AttentionKernel>;
  /** By the cluster of a matmul: the loop that follows it in one kernel. */
  readonly #epilogues = new Map<Cluster, Cluster>();

  constructor(
    readonly values: FusionValues,
    readonly clusters: readonly Cluster[],
  ) {
    this.#owner = new Map<ValueId, Cluster | AttentionKernel>([
      ...values.inAttention,
      ...clusters.flatMap((cluster) => cluster.members.map((id) => [id, cluster] as const)),
    ]);
  }

  fuse(): Fusion {
    const { values } = this;
    for (const cluster of this.clusters) this.#joinProduct(cluster);
    const kernels = values.attention.map((kernel) => this.#kernel("attention", kernel.members, kernel));
    const absorbed = new Set(this.#epilogues.values());
    for (const cluster of this.clusters)
      if (!absorbed.has(cluster)) {
        const first = values.at(ensure(cluster.members[0], "member"));
        kernels.push(this.#kernel(ops[first.op].kernel, [...cluster.members, ...(this.#epilogues.get(cluster)?.members ?? [])]));
      }
    const fused = values.graph.values.map((value) => values.isInline(value));
    for (const { members, writes } of kernels) for (const id of members) if (!writes.includes(id)) fused[id] = true;
    const last = ({ members }: Kernel): number => values.position(ensure(members.at(-1), "member"));
    return { kernels: kernels.sort((a, b) => last(a) - last(b)), fused };
  }

  /** Rule 4: makes a loop the epilogue of a matmul. */
  #joinProduct(loop: Cluster): void {
    const { values } = this;
    const first = values.at(ensure(loop.members[0], "member"));
    if (loop.reduces || !isLoopOp(first)) return;
    const last = this.#lastOperand(loop);
    if (last === undefined || ops[values.at(last).op].kernel !== "product" || values.inAttention.has(last) || values.isKept(last)) return;
    const { type } = values.at(last);
    if (!isOfSamePart(values.at(last), first) || values.readers(last).some((user) => this.#owner.get(user) !== loop)) return;
    if (!isOfSimilarSize(sizeOf(type.dims), loop.size)) return;
    const matmul = this.#owner.get(last) as Cluster;
    this.#epilogues.set(matmul, loop);
    for (const id of loop.members) this.#owner.set(id, matmul);
  }

  /** The operand of a loop that is computed last. */
  #lastOperand(loop: Cluster): ValueId | undefined {
    const { values } = this;
    const read = new Set(loop.members.flatMap((id) => values.at(id).inputs.flatMap((input) => values.sources(input))));
    let last: ValueId | undefined;
    for (const id of read)
      if (this.#owner.get(id) !== loop && (last === undefined || values.position(id) > values.position(last))) last = id;
    return last;
  }

  #kernel(kind: Kernel["kind"], unsorted: readonly ValueId[], attention?: AttentionKernel): Kernel {
    const { values } = this;
    const members = [...unsorted].sort((a, b) => values.position(a) - values.position(b));
    const writes = members.filter((id) => this.#isReadOutside(id) && (attention === undefined || attention.results.includes(id)));
    const inside = new Set(members);
    const operands = attention === undefined ? members.flatMap((id) => values.at(id).inputs) : attention.reads;
    const reads = [...new Set(operands.flatMap((id) => values.sources(id)))].filter((id) => !inside.has(id));
    return { kind, members, reads, writes, ...(attention === undefined ? {} : { attention }) };
  }

  /** Whether another kernel, or a later step, reads a value. */
  #isReadOutside(id: ValueId): boolean {
    const { values } = this;
    return (
      values.isKept(id) ||
      values.users(id).some((user) => values.isView(values.at(user)) && values.outputs.has(user)) ||
      values.readers(id).some((user) => this.#owner.get(user) !== this.#owner.get(id))
    );
  }
}

/** Values that their users compute, by rules 2 and 5. */
function cheapValues(graph: Graph, users: readonly (readonly ValueId[])[], outputs: ReadonlySet<ValueId>): boolean[] {
  const at = (id: ValueId): Value => ensure(graph.values[id], "value");
  /** Values that depend on no array. */
  const withoutArrays: boolean[] = [];
  for (const value of graph.values)
    withoutArrays.push(
      (isProducer(value) || value.op === "reshape" || isCheap(value)) && value.inputs.every((id) => withoutArrays[id] === true),
    );
  return graph.values.map((value) => {
    if (!isCheap(value) || value.role !== undefined || outputs.has(value.id)) return false;
    if (withoutArrays[value.id] === true) return true;
    const operands = new Set(value.inputs.filter((id) => !isProducer(at(id)) || at(id).inputs.length > 0));
    const [operand] = operands;
    if (
      operands.size !== 1 ||
      operand === undefined ||
      sizeOf(at(operand).type.dims) !== sizeOf(value.type.dims) ||
      isProducer(at(operand))
    )
      return false;
    const isWider = value.op === "convert" && bytesPerElement[value.type.dtype] > bytesPerElement[at(operand).type.dtype];
    return (users[value.id] ?? []).every((id) => isLoopOp(at(id)) || at(id).op === "reduce" || (isWider && at(id).op === "dot_general"));
  });
}

/** Values that read each value. */
export function usersOf(graph: Graph): ValueId[][] {
  const users: ValueId[][] = graph.values.map(() => []);
  for (const value of graph.values) for (const id of new Set(value.inputs)) users[id]?.push(value.id);
  return users;
}
