import { ensure } from "@lapidary/std";
import { type Graph, type Value, type ValueId, elementwiseNames, ops, sizeOf, usersOf } from "@lapidary/ir";

/**
 * The values that XLA writes to HBM when it compiles the exported module, by rules read from its buffer assignments:
 *
 *  1. Matmuls, lookups, reductions and collectives write their results. A `reshape` is a view, and a `transpose` is a layout.
 *  2. Elementwise ops, slices, pads and concatenations write nothing: each of their readers computes them again from written values.
 *     So a normalized activation, or the exponential of scores, has no buffer.
 *  3. Ops that are the only reader of a matmul are its epilogue: the last of them is written, in place of the matmul.
 *  4. A sum is written if another sum and other ops read it: it is a residual stream, or the gradient of one.
 *  5. Results of the step are written, and operands of ops that no loop computes (collectives, lookups).
 *  6. The gradient of a softmax is written if several matmuls read it and one of them waits for the gather of its weight. In a chunk of the loss, no
 *     matmul waits, because the weight is gathered before the first chunk.
 */
export class WrittenValues {
  readonly #users: readonly (readonly ValueId[])[];
  readonly #outputs: ReadonlySet<ValueId>;
  readonly #written: boolean[];
  /** By value, the values that read it through views. */
  readonly #readers: (readonly ValueId[] | undefined)[] = [];

  constructor(readonly graph: Graph) {
    this.#users = usersOf(graph);
    this.#outputs = new Set(graph.outputs.map(({ value }) => value));
    this.#written = graph.values.map(() => false);
    for (const value of graph.values) {
      if (this.isView(value) || ops[value.op].producer) continue;
      if (!isLoopOp(value)) this.#written[this.#endOfEpilogue(value)] = true;
      else if (this.#mustBeWritten(value)) this.#written[value.id] = true;
    }
  }

  isWritten(id: ValueId): boolean {
    return this.#written[id] === true;
  }

  isView({ op }: Value): boolean {
    return op === "reshape" || op === "transpose";
  }

  at(id: ValueId): Value {
    return ensure(this.graph.values[id], "value");
  }

  /** The values that read `id`, through views. */
  readers(id: ValueId): readonly ValueId[] {
    return (this.#readers[id] ??= (this.#users[id] ?? []).flatMap((user) => (this.isView(this.at(user)) ? this.readers(user) : [user])));
  }

  /** The written values and parameters from which a reader of `id` computes it. */
  sources(id: ValueId): Value[] {
    const value = this.at(id);
    return value.op === "parameter" || this.isWritten(id) ? [value] : value.inputs.flatMap((input) => this.sources(input));
  }

  /** The written values that a loop can overwrite with `value`: it reads their elements in the order in which it writes its own. */
  overwritable(value: Value): ValueId[] {
    if (!this.isWritten(value.id) || this.#isScatteredInto(value)) return [];
    const size = sizeOf(value.type.dims);
    const find = ({ id, op, inputs, type }: Value, isFirst: boolean): ValueId[] => {
      if (sizeOf(type.dims) !== size || op === "parameter") return [];
      if (!isFirst && this.isWritten(id)) return [id];
      // A scatter adds rows to its first operand in place.
      const read = op === "scatter" ? inputs.slice(0, 1) : elementwiseNames.has(op) || op === "reshape" ? inputs : [];
      return read.flatMap((input) => find(this.at(input), false));
    };
    return find(value, true);
  }

  /**
   * Whether a scatter adds rows to a sum, as to the gradient of a matrix that is both the embedding and the weight of the logits. The compiler computes
   * such a sum in a new array, and not in that of its first operand.
   */
  #isScatteredInto({ id, op }: Value): boolean {
    const isSumWithRows = (reader: Value): boolean => reader.op === "add" && reader.inputs.some((input) => this.at(input).op === "scatter");
    return op === "add" && this.readers(id).some((reader) => isSumWithRows(this.at(reader)));
  }

  /** Whether a value, or a view of it, is a result of the step. */
  isOutput(id: ValueId): boolean {
    return this.#outputs.has(id) || (this.#users[id] ?? []).some((user) => this.isView(this.at(user)) && this.isOutput(user));
  }

  /** Rule 3. */
  #endOfEpilogue(value: Value): ValueId {
    if (value.op !== "dot_general" && value.op !== "gather" && value.op !== "scatter") return value.id;
    let end: Value = value;
    for (;;) {
      if (this.isOutput(end.id)) return end.id;
      const [reader, ...others] = new Set(this.readers(end.id));
      if (reader === undefined || others.length > 0) return end.id;
      const next = this.at(reader);
      if (!elementwiseNames.has(next.op) || sizeOf(next.type.dims) !== sizeOf(value.type.dims) || next.scope.phase !== value.scope.phase)
        return end.id;
      if (next.inputs.some((id) => id !== end.id && this.#lastSource(id) > value.id)) return end.id;
      end = next;
    }
  }

  /** The last of the written values from which `id` is computed, other than those of the epilogue. */
  #lastSource(id: ValueId): ValueId {
    const value = this.at(id);
    if (value.op === "parameter" || this.isWritten(id)) return id;
    if (!isLoopOp(value) && !this.isView(value) && !ops[value.op].producer) return id;
    return Math.max(-1, ...value.inputs.map((input) => this.#lastSource(input)));
  }

  /** Rules 4 to 6. */
  #mustBeWritten(value: Value): boolean {
    if (this.isOutput(value.id)) return true;
    const readers = [...new Set(this.readers(value.id))].map((id) => this.at(id));
    if (readers.some((reader) => !isLoopOp(reader) && reader.op !== "dot_general" && reader.op !== "reduce")) return true;
    if (value.op === "add" && readers.length > 1 && readers.some(({ op }) => op === "add")) return true;
    const matmuls = value.scope.chunk === undefined ? readers.filter(({ op }) => op === "dot_general") : [];
    return matmuls.length > 1 && matmuls.some((matmul) => this.#readsGather(matmul)) && this.#isOfSoftmax(value);
  }

  #readsGather({ inputs }: Value): boolean {
    return inputs.some((id) => {
      const operand = this.at(id);
      return this.isView(operand) ? this.#readsGather(operand) : operand.op === "all_gather" && operand.role === "param";
    });
  }

  /** Whether loops compute a value from exponentials of the same size, and from one number for each row, such as their sum. */
  #isOfSoftmax(value: Value): boolean {
    const size = sizeOf(value.type.dims);
    let [hasExponentials, hasNumbersOfRows] = [false, false];
    const visit = ({ op, type, inputs }: Value): void => {
      hasExponentials ||= op === "exponential" && sizeOf(type.dims) === size;
      for (const input of inputs.map((id) => this.at(id))) {
        if (input.op !== "parameter" && !this.isWritten(input.id)) visit(input);
        else hasNumbersOfRows ||= op === "broadcast_in_dim" && input.op !== "parameter";
      }
    };
    visit(value);
    return hasExponentials && hasNumbersOfRows;
  }
}

const isLoopOp = (value: Value): boolean =>
  elementwiseNames.has(value.op) || (ops[value.op].movesData && value.op !== "transpose" && value.op !== "carry" && value.op !== "yield");
