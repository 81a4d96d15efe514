import { type Graph, type OpAttrs, type OpName, type TensorType, type ValueId, type ValueOf, ops, sameDims } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";

/** Index of a node in its plan. */
export type NodeId = number;

/**
 * One kernel call, or one collective, of a worker's step. `type` is the type of the stored tensor: it has 1 along each dim in which the value
 * repeats.
 */
export interface PlanNodeOf<N extends OpName> {
  readonly id: NodeId;
  readonly op: N;
  readonly attrs: OpAttrs[N];
  readonly inputs: readonly NodeId[];
  /**
   * The dims in which the op reads its operands, if they are views. The operands in `inputs` are then the arrays of these views: the kernel reads the
   * same numbers under other dims, and no call makes the view.
   */
  readonly operandDims?: readonly (readonly number[])[];
  readonly type: TensorType;
  /** The value of the program that the node computes: its provenance and its block of the whole array. */
  readonly value: ValueOf<OpName>;
  /** Whether it is the same in every run. It is then computed once, when the program is loaded. */
  readonly constant: boolean;
}
export type PlanNode = { [N in OpName]: PlanNodeOf<N> }[OpName];

/** The calls of a worker, in order. Each output is a separate node with the full dims of its value. Nothing else refers to it. */
export interface Plan {
  /** Whether matmuls with few rows use the kernel for them. */
  readonly fewRows: boolean;
  readonly nodes: readonly PlanNode[];
  readonly outputs: readonly { readonly name: string; readonly node: NodeId }[];
}

/** What the kernels of a device can do. */
export interface PlanOptions {
  /** Whether separate nodes round the operands of matmuls to bf16, once each. */
  readonly roundMatmulOperands: boolean;
  /** Whether kernels read views of their operands (`operandDims`). Default: false. */
  readonly readsViews?: boolean;
  /** Whether matmuls with few rows have a kernel of their own. Their sums have another order. Default: false. */
  readonly fewRows?: boolean;
}

/** Appends nodes. Equal nodes become one. */
export class PlanBuilder {
  readonly nodes: PlanNode[] = [];
  readonly #known = new Map<string, NodeId>();

  constructor(
    readonly graph: Graph,
    readonly options: PlanOptions,
  ) {}

  get(id: NodeId): PlanNode {
    return ensure(this.nodes[id], `node ${id}`);
  }

  dims(id: NodeId): readonly number[] {
    return this.get(id).type.dims;
  }

  /** @param options.fresh whether to add a new node that is computed in every run, even if its inputs are constant */
  emit<N extends OpName>(
    op: N,
    attrs: OpAttrs[N],
    inputs: readonly NodeId[],
    type: TensorType,
    value: ValueOf<OpName>,
    options: { readonly fresh?: boolean; readonly operandDims?: readonly (readonly number[])[] } = {},
  ): NodeId {
    const { operandDims } = options;
    const fresh = options.fresh ?? false;
    const { placed, foldable } = ops[op];
    // Collectives with equal attributes may differ in their layout, which is that of their value.
    const identity = placed
      ? [value.sharding, value.inputs.map((id) => this.graph.values[id]?.sharding)]
      : !foldable || fresh
        ? this.nodes.length
        : undefined;
    const constant = !fresh && foldable && inputs.every((id) => this.get(id).constant);
    // The backward pass recomputes such values. Their nodes must not equal those of the forward pass.
    const again = !constant && value.scope.phase === "recompute";
    // JSON has one text for both infinities and NaN.
    const number = "value" in attrs ? ` ${attrs.value}` : "";
    const key = `${JSON.stringify([op, attrs, inputs, operandDims, type, identity, again])}${number}`;
    // The body of a region reads nodes before the region. Nodes after the region do not read its body.
    const region = constant ? undefined : value.scope.region?.id;
    const known = this.#known.get(`${region} ${key}`) ?? this.#known.get(`undefined ${key}`);
    if (known !== undefined) return known;
    const id = this.nodes.length;
    const node: PlanNodeOf<OpName> = {
      id,
      op,
      attrs,
      inputs,
      type,
      value,
      constant,
      ...(operandDims === undefined ? {} : { operandDims }),
    };
    this.nodes.push(node as PlanNode);
    this.#known.set(`${region} ${key}`, id);
    return id;
  }

  /**
   * Appends an op whose kernel reads operands under any dims, so that it needs no views of them.
   *
   * @param inputs nodes of the arrays that `arrayOf` returns, or other nodes
   * @param operands the same operands, in the dims of the op
   */
  emitOnViews<N extends OpName>(
    op: N,
    attrs: OpAttrs[N],
    { inputs, operands }: { readonly inputs: readonly NodeId[]; readonly operands: readonly NodeId[] },
    type: TensorType,
    value: ValueOf<OpName>,
  ): NodeId {
    if (inputs.every((id, i) => id === operands[i])) return this.emit(op, attrs, inputs, type, value);
    return this.emit(op, attrs, inputs, type, value, { operandDims: operands.map((id) => this.dims(id)) });
  }

  /** The array of a view, if kernels read views. */
  arrayOf(id: NodeId): NodeId {
    const { op, inputs, constant } = this.get(id);
    return this.options.readsViews === true && op === "reshape" && !constant ? this.arrayOf(ensure(inputs[0], "operand")) : id;
  }

  /** The same elements under other dims. */
  view(id: NodeId, dims: readonly number[], value: ValueOf<OpName>): NodeId {
    const { type, op, attrs } = this.get(id);
    if (sameDims(type.dims, dims)) return id;
    if (op === "constant") return this.emit("constant", { ...attrs, dims }, [], { ...type, dims }, value);
    return this.emit("reshape", { dims }, [id], { ...type, dims }, value);
  }

  /** Repeats a node along dims where it has 1 and `dims` has more. */
  repeat(id: NodeId, dims: readonly number[], value: ValueOf<OpName>, options: { readonly fresh?: boolean } = {}): NodeId {
    const { type, op, attrs } = this.get(id);
    assert(
      type.dims.length === dims.length && type.dims.every((size, d) => size === 1 || size === dims[d]),
      "a node repeats along dims of 1",
      type.dims,
      dims,
    );
    if (sameDims(type.dims, dims)) return id;
    if (op === "constant") return this.emit("constant", { ...attrs, dims }, [], { ...type, dims }, value, options);
    return this.emit("broadcast_in_dim", { dims, broadcastDimensions: dims.map((_, d) => d) }, [id], { ...type, dims }, value, options);
  }

  /** Repeats along the chosen dims only. */
  repeatAlong(id: NodeId, chosen: readonly number[], full: readonly number[], value: ValueOf<OpName>): NodeId {
    return this.repeat(
      id,
      this.dims(id).map((size, d) => (chosen.includes(d) ? (full[d] ?? size) : size)),
      value,
    );
  }

  /** Dims of the value in the program. */
  fullDims(id: ValueId): readonly number[] {
    return ensure(this.graph.values[id], "value").type.dims;
  }
}

/** Removes the nodes that no output needs, except parameters, and renumbers the others. */
export function dropDeadNodes(plan: Plan): Plan {
  const alive = plan.nodes.map((node) => node.op === "parameter");
  for (const { node } of plan.outputs) alive[node] = true;
  const mark = (): void => {
    for (let id = plan.nodes.length - 1; id >= 0; id--)
      if (alive[id] === true) for (const input of ensure(plan.nodes[id], "node").inputs) alive[input] = true;
  };
  mark();
  // A carry that is alive needs its yield, which needs the values of the next iteration.
  const yields = plan.nodes.filter(({ op }) => op === "yield");
  const isMissing = ({ id, inputs }: PlanNode): boolean => alive[ensure(inputs[0], "carry")] === true && alive[id] !== true;
  for (let missing = yields.filter(isMissing); missing.length > 0; missing = yields.filter(isMissing)) {
    for (const { id } of missing) alive[id] = true;
    mark();
  }
  const to = new Map<NodeId, NodeId>();
  const nodes: PlanNode[] = [];
  for (const node of plan.nodes) {
    if (alive[node.id] !== true) continue;
    to.set(node.id, nodes.length);
    nodes.push({ ...node, id: nodes.length, inputs: node.inputs.map((id) => ensure(to.get(id), "operand")) } as PlanNode);
  }
  return { ...plan, nodes, outputs: plan.outputs.map(({ name, node }) => ({ name, node: ensure(to.get(node), "output") })) };
}

/** The text of a plan, for tests and logs. */
export function printPlan(plan: Plan): string {
  const lines = plan.nodes.map(
    (node) =>
      `%${node.id} = ${node.op}${node.inputs.map((id) => ` %${id}`).join("")}${Object.entries(node.attrs)
        .map(([key, attr]) => ` ${key}=${JSON.stringify(attr)}`)
        .join("")} : ${node.type.dtype}[${node.type.dims.join(",")}]${node.constant ? " once" : ""} @${node.value.name}`,
  );
  return [...lines, `return ${plan.outputs.map(({ name, node }) => `${name}=%${node}`).join(" ")}`].join("\n");
}
