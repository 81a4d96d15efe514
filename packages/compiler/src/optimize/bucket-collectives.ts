import { ensure } from "@lapidary/std";
import { type Graph, GraphBuilder, type Sharding, type Value, type ValueId, bytesOf, makeScope, ops } from "@lapidary/ir";
import { copyValue } from "./rewrites.js";

/**
 * Combines small collectives of equal arrays into one, with the arrays stacked on a new leading dim (XLA: collective combiner):
 *
 *     all_reduce(a), all_reduce(b)   →   r = all_reduce(concatenate([a], [b])),  r[0], r[1]
 *
 * Examples are the gains of all norms and their gradients: the latency dominates the time of a message of a few bytes.
 * Collectives are equal if op, axes, pass, shape and sharding are equal. A bucket contains no collective that depends on another
 * of its collectives.
 *
 * @param bytes maximum of the bytes of all operands of a bucket on one chip (XLA: the combiner's threshold); 0: no buckets
 */
export function bucketCollectives(graph: Graph, bytes: number): Graph {
  const buckets = findBuckets(graph, bytes);
  if (buckets.length === 0) return graph;
  const bucketOf = new Map(buckets.flatMap((bucket) => bucket.map((value) => [value.id, bucket] as const)));

  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to = new Map<ValueId, ValueId>();
  const isEmitted = (id: ValueId): boolean => to.has(id);
  const emitted = (id: ValueId): Value => g.get(ensure(to.get(id), "operand"));
  /** Values that depend on a bucket with a missing operand, in the order of the program. */
  let waiting: Value[] = [];
  const emit = (value: Value): boolean => {
    const bucket = bucketOf.get(value.id);
    if (isEmitted(value.id)) return true;
    if (bucket === undefined) {
      if (!value.inputs.every(isEmitted)) return false;
      to.set(value.id, copyValue(g, value, (id) => to.get(id)).id);
      return true;
    }
    if (!bucket.every((member) => member.inputs.every(isEmitted))) return false;
    emitBucket(bucket);
    return true;
  };
  for (const value of graph.values) {
    if (!emit(value)) {
      waiting.push(value);
      continue;
    }
    for (let before = -1; before !== waiting.length; ) {
      before = waiting.length;
      waiting = waiting.filter((each) => !emit(each));
    }
  }
  for (const { name, value } of graph.outputs) g.output(name, emitted(value));
  return g.finish();

  function emitBucket(bucket: readonly Value[]): void {
    const first = ensure(bucket[0], "member");
    const { phase, region } = first.scope;
    const scope = makeScope({ phase, block: sharedBlock(bucket), region });
    const name = `bucket(${first.name},+${bucket.length - 1})`;
    const parts = bucket.map((member) => {
      const operand = emitted(ensure(member.inputs[0], "operand"));
      return g.op(
        "reshape",
        [operand],
        { dims: [1, ...operand.type.dims] },
        {
          name: operand.name,
          scope: makeScope({ ...operand.scope, phase, region }),
          sharding: stacked(ensure(operand.sharding, "sharding")),
        },
      );
    });
    const stack = g.op("concatenate", parts, { dimension: 0 }, { name, scope, sharding: ensure(parts[0]?.sharding, "sharding") });
    const combined = g.op(first.op as "all_reduce", [stack], stackedAttrs(first) as never, {
      name,
      scope,
      sharding: stacked(ensure(first.sharding, "sharding")),
      cause: `combines ${bucket.length} equal collectives (bucket_bytes); the first ${first.cause ?? ""}`,
    });
    bucket.forEach((member, i) => {
      const { dims } = combined.type;
      const row = g.op(
        "slice",
        [combined],
        { start: dims.map((_, d) => (d === 0 ? i : 0)), limit: dims.map((size, d) => (d === 0 ? i + 1 : size)) },
        { name: member.name, scope: member.scope, sharding: ensure(combined.sharding, "sharding") },
      );
      const { cause: _, ...extras } = member;
      to.set(member.id, g.push("reshape", [row.id], { dims: member.type.dims }, member.type, extras).id);
    });
  }
}

/** The block of all members, if they have one in common. */
function sharedBlock(bucket: readonly Value[]): number | undefined {
  const [block, ...others] = new Set(bucket.map((member) => member.scope.block));
  return others.length === 0 ? block : undefined;
}

const stacked = (sharding: Sharding): Sharding => ({ ...sharding, dims: [[], ...sharding.dims] });

/** The attributes of a collective on the stacked arrays: their dims follow the new leading dim. */
function stackedAttrs({ attrs }: Value): object {
  return "dimension" in attrs ? { ...attrs, dimension: attrs.dimension + 1 } : attrs;
}

/** Lists of two or more collectives that can be combined, each in the order of the program. */
function findBuckets(graph: Graph, limit: number): Value[][] {
  const bytesOfOperand = (value: Value): number => bytesOf(ensure(graph.values[ensure(value.inputs[0], "operand")], "operand").type);
  // The arrays of a bucket are stacked before they are reduced, and ops propagate partial sums only.
  const isStackable = (value: Value): boolean => {
    const { unreduced, reduction } = ensure(graph.values[ensure(value.inputs[0], "operand")]?.sharding, "sharding");
    return value.op !== "all_to_all" && (unreduced.length === 0 || reduction === "sum");
  };
  const candidates = graph.values.filter(
    (value) => ops[value.op].communicates && Math.max(bytesOfOperand(value), bytesOf(value.type)) * 2 <= limit && isStackable(value),
  );
  if (candidates.length < 2) return [];
  const dependencies = new Dependencies(graph);
  const segments = segmentsOf(graph);
  const open = new Map<string, Value[][]>();
  for (const value of candidates) {
    const operand = ensure(graph.values[ensure(value.inputs[0], "operand")], "operand");
    const { phase, chunk } = value.scope;
    const key = JSON.stringify([value.op, value.attrs, phase, chunk, segments[value.id], operand.type, operand.sharding]);
    const each = Math.max(bytesOfOperand(value), bytesOf(value.type));
    const known = open.get(key) ?? [];
    const bucket = known.find((members) => (members.length + 1) * each <= limit && !dependencies.exist(members, value));
    if (bucket === undefined) known.push([value]);
    else {
      bucket.push(value);
      dependencies.combine(bucket);
    }
    open.set(key, known);
  }
  return [...open.values()].flat().filter((bucket) => bucket.length > 1);
}

/** By value, the number of region borders before it. A bucket with members on both sides of a border would move values across it. */
function segmentsOf(graph: Graph): number[] {
  let [segment, region]: [number, number | undefined] = [0, undefined];
  return graph.values.map(({ scope }) => {
    if (scope.region?.id !== region) [segment, region] = [segment + 1, scope.region?.id];
    return segment;
  });
}

/** The dependencies in the graph in which the members of each bucket are one node. */
class Dependencies {
  readonly #users: ValueId[][];
  readonly #bucket = new Map<ValueId, readonly Value[]>();

  constructor(graph: Graph) {
    this.#users = graph.values.map(() => []);
    for (const value of graph.values) for (const id of value.inputs) this.#users[id]?.push(value.id);
  }

  combine(bucket: readonly Value[]): void {
    for (const { id } of bucket) this.#bucket.set(id, bucket);
  }

  /** Whether the value depends on one of the members, or one of the members on the value. */
  exist(members: readonly Value[], value: Value): boolean {
    return (
      this.#hasPath(
        members.map(({ id }) => id),
        new Set([value.id]),
      ) || this.#hasPath([value.id], new Set(members.map(({ id }) => id)))
    );
  }

  #hasPath(from: readonly ValueId[], goal: ReadonlySet<ValueId>): boolean {
    const seen = new Set<ValueId>(from);
    const stack = [...from];
    for (let id = stack.pop(); id !== undefined; id = stack.pop())
      for (const user of this.#users[id] ?? [])
        for (const next of [user, ...(this.#bucket.get(user)?.map((member) => member.id) ?? [])]) {
          if (goal.has(next)) return true;
          if (!seen.has(next)) {
            seen.add(next);
            stack.push(next);
          }
        }
    return false;
  }
}
