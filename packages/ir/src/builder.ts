import { assert, ensure } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";
import type { CompareDirection, DimPair, OpAttrs, OpName } from "./attrs.js";
import type { GradientBuilder } from "./gradient-builder.js";
import {
  type Graph,
  type GraphLevel,
  type GraphOutput,
  type IdleIterations,
  type LogicalAxes,
  type Phase,
  type Scope,
  type TickPart,
  type Value,
  type ValueId,
  type ValueOf,
  type ValueRole,
  makeScope,
} from "./graph.js";
import { opDef } from "./ops/index.js";
import type { ReductionKind, Sharding } from "./sharding.js";
import { type Dtype, type TensorType, sameDims, tensorType } from "./types.js";

export interface ValueExtras {
  readonly name?: string | undefined;
  readonly logicalAxes?: LogicalAxes | undefined;
  readonly sharding?: Sharding | undefined;
  readonly role?: ValueRole | undefined;
  /** The builder's current scope if absent. */
  readonly scope?: Scope | undefined;
  readonly cause?: string | undefined;
}

/**
 * Appends values to a graph and checks their shapes. Methods have the names of the ops. The few composites are those
 * that every model needs, such as `splat` and `scale`.
 */
export class GraphBuilder implements GradientBuilder {
  readonly values: Value[] = [];
  readonly outputs: GraphOutput[] = [];
  private path: string[] = [];
  private current: Scope = { phase: "forward" };
  private regions = 0;
  /** Shared splat constants: one value for each number and type. */
  private readonly splats = new Map<string, Value>();

  constructor(
    readonly name: string,
    readonly level: GraphLevel = "global",
    readonly mesh?: Mesh,
  ) {}

  /** Names values built inside `build` with a prefix: `scope("layers.3", …)`. */
  scope<T>(name: string, build: () => T): T {
    this.path.push(name);
    try {
      return build();
    } finally {
      this.path.pop();
    }
  }

  /** Builds block `index` of the model: values made inside `build` have that block, and names begin with `label.index`. */
  block<T>(label: string, index: number, build: () => T): T {
    return this.inBlock(index, () => this.scope(`${label}.${index}`, build));
  }

  /** Sets the block of values made inside `build`, or none. Their names do not change. */
  inBlock<T>(block: number | undefined, build: () => T): T {
    return this.inScope(makeScope({ ...this.current, block, line: undefined }), build);
  }

  /** Sets the line of the user's program of values made inside `build`. */
  inLine<T>(line: string, build: () => T): T {
    return this.inScope({ ...this.current, line }, build);
  }

  /** Sets the pass of values made inside `build`. */
  inPhase<T>(phase: Phase, build: () => T): T {
    return this.inScope(makeScope({ ...this.current, phase, line: undefined }), build);
  }

  /** Builds a part of a tick of a pipeline. The names of its values begin with that of the part: `forward_tick`. */
  inTick<T>(tick: TickPart, build: () => T): T {
    return this.inScope({ ...this.current, tick }, () => this.scope(`${tick}_tick`, build));
  }

  /** Builds chunk `index` of the loss: values made inside `build` have that chunk, and names begin with `label.index`. */
  chunk<T>(label: string, index: number, build: () => T): T {
    return this.inScope(makeScope({ ...this.current, chunk: index, line: undefined }), () => this.scope(`${label}.${index}`, build));
  }

  /** The scope of the values that are built now. */
  get scopeNow(): Scope {
    return this.current;
  }

  private inScope<T>(scope: Scope, build: () => T): T {
    const before = this.current;
    this.current = scope;
    try {
      return build();
    } finally {
      this.current = before;
    }
  }

  /**
   * Appends a region that runs `count` times.
   *
   * @param initial the carried values of the first iteration
   * @param body receives the carried values of an iteration, and returns those of the next
   * @param idle iterations without work, for each stage of a pipeline
   * @returns the carried values after the last iteration
   */
  repeat(count: number, initial: readonly Value[], body: (carried: readonly Value[]) => readonly Value[], idle?: IdleIterations): Value[] {
    assert(this.current.region === undefined, "regions are not nested", this.name);
    const region = { id: this.regions++, count, ...(idle === undefined ? {} : { idle }) };
    return this.inScope(makeScope({ ...this.current, region }), () => {
      const carried = initial.map((value) => this.op("carry", [value], {}));
      const next = body(carried);
      assert(next.length === carried.length, "a body returns one value for each carried value", next.length, carried.length);
      return carried.map((value, i) => this.op("yield", [value, ensure(next[i], "next")], {}));
    });
  }

  /** Appends any op. The typed methods below call this. */
  op<N extends OpName>(op: N, inputs: readonly Value[], attrs: OpAttrs[N], extras: ValueExtras = {}): Value {
    const def = opDef(op);
    assert(def.arity === null || def.arity === inputs.length, "operand count", op, inputs.length);
    return this.push(
      op,
      inputs.map((value) => value.id),
      attrs,
      def.type(
        inputs.map((value) => value.type),
        attrs,
      ),
      extras,
    );
  }

  /** Appends a value with a given type: parameters, and copies of values from another graph. */
  push<N extends OpName>(op: N, inputs: readonly ValueId[], attrs: OpAttrs[N], type: TensorType, extras: ValueExtras = {}): Value {
    for (const id of inputs) assert(id >= 0 && id < this.values.length, "inputs come before their uses", op, id);
    const value: ValueOf<N> = {
      id: this.values.length,
      op,
      attrs,
      inputs,
      type,
      name: extras.name ?? [...this.path, op].join("."),
      ...(extras.logicalAxes === undefined ? {} : { logicalAxes: extras.logicalAxes }),
      ...(extras.sharding === undefined ? {} : { sharding: extras.sharding }),
      ...(extras.role === undefined ? {} : { role: extras.role }),
      scope: extras.scope ?? this.current,
      ...(extras.cause === undefined ? {} : { cause: extras.cause }),
    };
    this.regions = Math.max(this.regions, (value.scope.region?.id ?? -1) + 1);
    this.values.push(value as Value);
    return value as Value;
  }

  /** Renames a value (provenance), and sets its logical axes and its role if they are given. */
  named(name: string, value: Value, logicalAxes?: LogicalAxes, role?: ValueRole): Value {
    const renamed = {
      ...value,
      name: [...this.path, name].join("."),
      ...(logicalAxes === undefined ? {} : { logicalAxes }),
      ...(role === undefined ? {} : { role }),
    } as Value;
    this.values[value.id] = renamed;
    return renamed;
  }

  /** The value with another full name. */
  renamed(value: Value, name: string): Value {
    const renamed = { ...value, name } as Value;
    this.values[value.id] = renamed;
    return renamed;
  }

  get(id: ValueId): Value {
    return ensure(this.values[id], `value ${id}`);
  }

  parameter(name: string, type: TensorType, logicalAxes?: LogicalAxes, role?: ValueRole): Value {
    assert(logicalAxes === undefined || logicalAxes.length === type.dims.length, "one logical axis per dim", name, logicalAxes);
    return this.push("parameter", [], { name }, type, { name, logicalAxes, role });
  }

  output(name: string, value: Value): void {
    this.outputs.push({ name, value: value.id });
  }

  finish(): Graph {
    return {
      name: this.name,
      level: this.level,
      ...(this.mesh === undefined ? {} : { mesh: this.mesh }),
      values: this.values,
      outputs: this.outputs,
    };
  }

  /** `value` in every element of `type`. Equal splats of a pass are one value, which belongs to no block. */
  splat(value: number, type: TensorType): Value {
    const { phase, region } = this.current;
    const key = `${value} ${type.dtype} ${type.dims.join(",")} ${phase} ${region?.id}`;
    const known = this.splats.get(key);
    if (known !== undefined) return known;
    const made = this.op(
      "constant",
      [],
      { value, dims: type.dims, dtype: type.dtype },
      { name: "constant", scope: makeScope({ phase, region }) },
    );
    this.splats.set(key, made);
    return made;
  }

  scalar(value: number, dtype: Dtype = "f32"): Value {
    return this.splat(value, tensorType(dtype, []));
  }

  iota(type: TensorType, dimension: number): Value {
    return this.op("iota", [], { dims: type.dims, dimension, dtype: type.dtype });
  }

  /** `keys` of the slices of a stack, if they are drawn on their own; the first is `key`. */
  rngNormal(dims: readonly number[], key: number, scale: number, keys?: readonly number[]): Value {
    return this.op("rng_normal", [], { dims, key, scale, ...(keys === undefined ? {} : { keys }) });
  }

  /** Uniform numbers in (0, 1); `key` is an i32 scalar. */
  rngUniform = (dims: readonly number[], key: Value): Value => this.op("rng_uniform", [key], { dims });

  negate = (x: Value): Value => this.op("negate", [x], {});
  exponential = (x: Value): Value => this.op("exponential", [x], {});
  log = (x: Value): Value => this.op("log", [x], {});
  tanh = (x: Value): Value => this.op("tanh", [x], {});
  sqrt = (x: Value): Value => this.op("sqrt", [x], {});
  rsqrt = (x: Value): Value => this.op("rsqrt", [x], {});
  cosine = (x: Value): Value => this.op("cosine", [x], {});
  sine = (x: Value): Value => this.op("sine", [x], {});
  abs = (x: Value): Value => this.op("abs", [x], {});
  stopGradient = (x: Value): Value => this.op("stop_gradient", [x], {});
  add = (a: Value, b: Value): Value => this.op("add", [a, b], {});
  subtract = (a: Value, b: Value): Value => this.op("subtract", [a, b], {});
  multiply = (a: Value, b: Value): Value => this.op("multiply", [a, b], {});
  divide = (a: Value, b: Value): Value => this.op("divide", [a, b], {});
  maximum = (a: Value, b: Value): Value => this.op("maximum", [a, b], {});
  minimum = (a: Value, b: Value): Value => this.op("minimum", [a, b], {});
  and = (a: Value, b: Value): Value => this.op("and", [a, b], {});
  compare = (a: Value, b: Value, direction: CompareDirection): Value => this.op("compare", [a, b], { direction });
  select = (p: Value, a: Value, b: Value): Value => this.op("select", [p, a, b], {});
  convert = (x: Value, dtype: Dtype): Value => (x.type.dtype === dtype ? x : this.op("convert", [x], { dtype }));

  broadcastInDim(x: Value, dims: readonly number[], broadcastDimensions: readonly number[]): Value {
    return sameDims(x.type.dims, dims) ? x : this.op("broadcast_in_dim", [x], { dims, broadcastDimensions });
  }

  reshape(x: Value, dims: readonly number[]): Value {
    return sameDims(x.type.dims, dims) ? x : this.op("reshape", [x], { dims });
  }

  transpose = (x: Value, permutation: readonly number[]): Value =>
    permutation.every((p, i) => p === i) ? x : this.op("transpose", [x], { permutation });
  slice = (x: Value, start: readonly number[], limit: readonly number[]): Value => this.op("slice", [x], { start, limit });
  /** `size` elements of `dimension` from `start`, an i32 scalar. */
  dynamicSlice = (x: Value, start: Value, dimension: number, size: number): Value =>
    this.op("dynamic_slice", [x, start], { dimension, size });
  /** `x` with `update` from `start` along `dimension`; `start` is an i32 scalar. */
  dynamicUpdateSlice = (x: Value, update: Value, start: Value, dimension: number): Value =>
    this.op("dynamic_update_slice", [x, update, start], { dimension });
  pad = (x: Value, low: readonly number[], high: readonly number[]): Value => this.op("pad", [x], { low, high });
  concatenate = (xs: readonly Value[], dimension: number): Value => this.op("concatenate", xs, { dimension });
  reduce = (x: Value, dims: readonly number[], kind: ReductionKind): Value => this.op("reduce", [x], { dims, kind });
  dotGeneral = (a: Value, b: Value, batch: readonly DimPair[], contracting: readonly DimPair[]): Value =>
    this.op("dot_general", [a, b], { batch, contracting });
  /**
   * Rows [lead, N, I] times the matrix of their group, of matrices [shared, G, O, I]. Sizes [lead, G] give the rows of each group, in their order.
   *
   * @param filled the share of the rows that is expected to have a group, for costs alone
   */
  raggedDot = (
    rows: Value,
    matrices: Value,
    sizes: Value,
    { shared, filled }: { readonly shared: readonly number[]; readonly filled: number },
  ): Value => this.op("ragged_dot", [rows, matrices, sizes], { shared, filled, transposed: false });
  /** Rows of a table by id; `batch` leading dims are those of both. */
  gather = (table: Value, ids: Value, batch = 0): Value => this.op("gather", [table, ids], batch === 0 ? {} : { batch });
  scatter = (ids: Value, updates: Value, rows: number, batch = 0): Value =>
    this.op("scatter", [ids, updates], batch === 0 ? { rows } : { rows, batch });
  /** `x`, at a point where the rules for these logical axes decide its sharding. */
  constrain = (x: Value, logicalAxes: LogicalAxes): Value => this.op("constrain", [x], { logicalAxes });
  /** Running sums along a dim. */
  cumsum = (x: Value, dimension: number): Value => this.op("cumsum", [x], { dimension, reverse: false });
  /** Every row of a dim from `by` rows before; rows from outside are zero, or with `wrap` those of the other end. */
  shift = (x: Value, dimension: number, by: number, wrap: boolean): Value => this.op("shift", [x], { dimension, by, wrap });
  /** At each place s of dim `by`, the slice `table[s]` of dim `from`. The result lacks the dim `from`. */
  pick(x: Value, from: number, by: number, table: readonly number[]): Value {
    assert(table.length === x.type.dims[by], "a table has one entry for each place", table.length, x.type.dims, by);
    return this.op("pick", [x], { from, by, table });
  }

  /** `x` times a number. */
  scale = (x: Value, factor: number): Value => this.multiply(x, this.splat(factor, x.type));
  /** `x` plus a number. */
  offset = (x: Value, amount: number): Value => this.add(x, this.splat(amount, x.type));
  square = (x: Value): Value => this.multiply(x, x);
}
