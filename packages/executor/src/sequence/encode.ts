import { type TensorType, sizeOf } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { NodeId, Plan } from "../plan/plan.js";
import { type NativeCall, callKind } from "./native-call.js";
import { stridedCopy } from "./strided.js";
import { ScratchMemory } from "./scratch-memory.js";

type Dtype = "f32" | "i32" | "pred";
const dtypes = ["f32", "i32", "pred"] as const satisfies readonly Dtype[];
const place = { input: 0, output: 1, scratch: 2 } as const;

/** Several kernels as one call of `LapidarySequence`. */
export interface SequenceCall {
  /** Operands: floats, then integers, then booleans. Arrays of integers are the same in every run. */
  readonly inputs: readonly (NodeId | Int32Array)[];
  readonly inputCounts: readonly number[];
  /** Results: floats, then integers, then booleans. */
  readonly outputs: readonly NodeId[];
  readonly outputCounts: readonly number[];
  /** Parameters whose memory results take, if the run may overwrite all of them. */
  readonly overwritten: readonly NodeId[];
  readonly code: Int32Array;
}

export interface SequenceParts {
  readonly calls: readonly NativeCall[];
  /** By view: the node that it is a view of. */
  readonly views: ReadonlyMap<NodeId, NodeId>;
  /** Nodes that other steps or the caller use. */
  readonly used: ReadonlySet<NodeId>;
  /** Whether a parameter may be overwritten by the only node that uses it. */
  readonly isOverwritable: (parameter: NodeId) => boolean;
}

/** Encodes calls that run one after the other. */
export function encodeSequence(plan: Plan, parts: SequenceParts): SequenceCall {
  return new SequenceEncoder(plan, parts).encode();
}

interface ArrayType {
  readonly dtype: Dtype;
  readonly dims: readonly number[];
}

class SequenceEncoder {
  readonly #plan: Plan;
  readonly #parts: SequenceParts;
  readonly #calls: readonly NativeCall[];
  readonly #made: ReadonlySet<NodeId>;
  readonly #inputs: readonly (NodeId | Int32Array)[];
  readonly #outputs: readonly NodeId[];
  /** By call: the scratch arrays that no later call uses. */
  readonly #ends = new Map<number, NodeId[]>();
  readonly #memory = new ScratchMemory();
  /** Encoded values, and the index of each. */
  readonly #values: number[][] = [];
  readonly #indexOf = new Map<NodeId | Int32Array, number>();

  constructor(plan: Plan, parts: SequenceParts) {
    this.#plan = plan;
    this.#parts = parts;
    const written = new Set(parts.calls.flatMap(({ results }) => results));
    this.#calls = [...parts.calls, ...this.#copiesOfViews()];
    this.#made = new Set(this.#calls.flatMap(({ results }) => results));
    const read = this.#calls.flatMap(({ operands }) => operands.map((operand) => this.#root(operand)));
    this.#inputs = this.#byDtype([...new Set(read)].filter((id) => typeof id !== "number" || !this.#made.has(id)));
    this.#outputs = this.#byDtype([...this.#made].filter((id) => parts.used.has(id)));
    const last = new Map<NodeId, number>();
    this.#calls.forEach(({ operands, results }, i) => {
      for (const id of [...results, ...operands.map((operand) => this.#root(operand))]) if (typeof id === "number") last.set(id, i);
    });
    for (const [id, i] of last) if (written.has(id) && !parts.used.has(id)) this.#ends.set(i, [...(this.#ends.get(i) ?? []), id]);
  }

  encode(): SequenceCall {
    const outputs = this.#outputs.map((id) => ({ ...this.#typeOf(id), alias: this.#aliasOf(id) }));
    this.#inputs.forEach((input, i) => this.#addValue(input, place.input, i));
    this.#outputs.forEach((id, i) => this.#addValue(id, place.output, i));
    const calls = this.#calls.flatMap((call, i) => this.#encodeCall(call, i));
    const count = (list: readonly (NodeId | Int32Array)[]): number[] =>
      dtypes.map((dtype) => list.filter((each) => this.#typeOf(each).dtype === dtype).length);
    const aliases = outputs.filter(({ alias }) => alias >= 0).map(({ alias }) => ensure(this.#inputs[alias], "input"));
    return {
      inputs: this.#inputs,
      inputCounts: count(this.#inputs),
      outputs: this.#outputs,
      outputCounts: count(this.#outputs),
      overwritten: aliases.filter((input) => typeof input === "number"),
      code: Int32Array.from([
        this.#inputs.length,
        this.#memory.blocks,
        outputs.length,
        ...outputs.flatMap(({ dtype, alias, dims }) => [dtypes.indexOf(dtype), alias, dims.length, ...dims]),
        this.#values.length,
        ...this.#values.flat(),
        this.#calls.length,
        ...calls,
      ]),
    };
  }

  /** A view that other steps use is a tensor of its own. */
  #copiesOfViews(): NativeCall[] {
    const { views, used } = this.#parts;
    return [...views.keys()]
      .filter((id) => used.has(id))
      .map((id) => {
        const type: TensorType = this.#node(id).type;
        const numbers = ensure(stridedCopy({ ...this.#node(id), op: "stop_gradient", attrs: {} }, type, type), "copy");
        return { kind: callKind.strided, operands: [ensure(views.get(id), "view")], results: [id], numbers };
      });
  }

  #encodeCall({ kind, operands, results, numbers }: NativeCall, i: number): number[] {
    for (const id of results)
      if (!this.#indexOf.has(id)) this.#addValue(id, place.scratch, this.#memory.take(id, bytesOf(this.#typeOf(id))));
    const index = (id: NodeId | Int32Array): number => ensure(this.#indexOf.get(id), "value");
    const encoded = [kind, ...list(operands.map((operand) => index(this.#root(operand)))), ...list(results.map(index)), ...list(numbers)];
    for (const id of this.#ends.get(i) ?? []) this.#memory.free(id);
    return encoded;
  }

  #addValue(id: NodeId | Int32Array, where: number, at: number): void {
    const { dtype, dims } = this.#typeOf(id);
    this.#indexOf.set(id, this.#values.push([where, at, sizeOf(dims), dtypes.indexOf(dtype)]) - 1);
  }

  /** The input whose memory an output may take, or -1. */
  #aliasOf(id: NodeId): number {
    const { op, inputs } = this.#node(id);
    const operand = ensure(
      this.#calls.find(({ results }) => results.includes(id)),
      "call",
    ).operands[0];
    if (op !== "dynamic_update_slice" || typeof operand !== "number" || operand !== inputs[0] || !this.#parts.isOverwritable(operand))
      return -1;
    return this.#inputs.indexOf(operand);
  }

  /** The array that has the memory of a view. */
  #root(id: NodeId | Int32Array): NodeId | Int32Array {
    const source = typeof id === "number" ? this.#parts.views.get(id) : undefined;
    // A copied view is an array of its own for later steps, but calls of the sequence read its source.
    return source === undefined ? id : this.#root(source);
  }

  #byDtype<T extends NodeId | Int32Array>(ids: readonly T[]): T[] {
    const rank = (id: T): number => dtypes.indexOf(this.#typeOf(id).dtype);
    return ids.toSorted((a, b) => rank(a) - rank(b));
  }

  #typeOf(id: NodeId | Int32Array): ArrayType {
    if (typeof id !== "number") return { dtype: "i32", dims: [id.length] };
    const { dtype, dims } = this.#node(id).type;
    assert(dtype !== "bf16", "a sequence has no bf16", id);
    return { dtype, dims };
  }

  #node(id: NodeId): Plan["nodes"][number] {
    return ensure(this.#plan.nodes[id], "node");
  }
}

const bytesOf = ({ dtype, dims }: ArrayType): number => sizeOf(dims) * (dtype === "pred" ? 1 : 4);

const list = (values: readonly number[]): number[] => [values.length, ...values];
