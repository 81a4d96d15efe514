import {
  type Graph,
  type OpName,
  parametersOf,
  type Region,
  regionsOf,
  type Sharding,
  type Value,
  type ValueId,
  type ValueOf,
} from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { meshSize } from "@lapidary/topology";
import { mlirType, quoted } from "./mlir.js";
import { findChunkBarriers } from "./chunk-barriers.js";
import { printerOf } from "./printers.js";
import { findRematBarriers, type OrderBarrier } from "./remat-barriers.js";
import { allAxes, sdyMesh, sdySharding } from "./sdy.js";
import type { ShardingConstraint } from "./sharding-constraints.js";
import { Writer, type WriterOptions } from "./writer.js";

/**
 * The global module of a step: not partitioned. Arguments and results carry shardings, and XLA partitions it with Shardy.
 *
 * @param graph level "global", with a sharding for every parameter and output
 * @param constraints sharding constraints of arguments and intermediate values, by value
 */
export function globalModule(graph: Graph, constraints: ReadonlyMap<ValueId, ShardingConstraint>, options: WriterOptions = {}): string {
  assert(graph.level === "global", "a global graph", graph.level);
  const mesh = ensure(graph.mesh, "mesh");
  const writer = new Writer(mesh, false, options, "    ");
  const names = writeBody(graph, writer, (value, name) => {
    const constraint = constraints.get(value.id);
    if (constraint === undefined) return name;
    return writer.temporary(
      `sdy.sharding_constraint ${name} ${sdySharding(mesh, constraint.sharding, constraint.notes)} : ${mlirType(value.type)}`,
    );
  });
  const outputs = graph.outputs.map(({ value }) => ({
    name: ensure(names.get(value), "output"),
    type: ensure(graph.values[value], "output").type,
  }));
  writer.line(`return ${outputs.map(({ name }) => name).join(", ")} : ${outputs.map(({ type }) => mlirType(type)).join(", ")}`);
  return moduleText(graph, writer, graph, { constraints: constraints });
}

/**
 * The per-device module of a step: Lapidary's per-chip program in one `sdy.manual_computation` over all axes. Its body has local
 * types and explicit collectives. The arguments and results of the module are global arrays, as in `globalModule`.
 *
 * @param chip level "chip"
 * @param global the graph from which it was partitioned: it has the types of the global arrays
 */
export function perDeviceModule(chip: Graph, global: Graph, options: WriterOptions = {}): string {
  assert(chip.level === "chip", "a per-chip program", chip.level);
  const mesh = ensure(chip.mesh, "mesh");
  const writer = new Writer(mesh, true, options, "      ");
  const names = writeBody(chip, writer, (_, name) => name);
  const outputs = chip.outputs.map(({ value }) => ({
    name: ensure(names.get(value), "output"),
    value: ensure(chip.values[value], "output"),
  }));
  const inner = new Writer(mesh, true, options, "    ");
  const shardings = (values: readonly { readonly sharding?: Sharding | undefined }[]): string =>
    `[${values.map(({ sharding }) => sdySharding(mesh, ensure(sharding, "sharding"))).join(", ")}]`;
  const parameters = parametersOf(chip);
  const globalTypes = {
    inputs: parametersOf(global).map(({ type }) => mlirType(type)),
    outputs: global.outputs.map(({ value }) => mlirType(ensure(global.values[value], "output").type)),
  };
  inner.line(
    `%r${outputs.length === 1 ? "" : `:${outputs.length}`} = sdy.manual_computation(${parameters.map((_, i) => `%arg${i}`).join(", ")})` +
      `\n    in_shardings=${shardings(parameters)}` +
      `\n    out_shardings=${shardings(outputs.map(({ value }) => value))}` +
      `\n    manual_axes=${allAxes(mesh)} (${parameters.map(({ id, type }) => `%v${id}: ${mlirType(type)}`).join(", ")}) {`,
  );
  for (const line of writer.lines()) inner.raw(line);
  inner.line(`  sdy.return ${outputs.map(({ name }) => name).join(", ")} : ${outputs.map(({ value }) => mlirType(value.type)).join(", ")}`);
  inner.line(`} : (${globalTypes.inputs.join(", ")}) -> (${globalTypes.outputs.join(", ")})`);
  const results = outputs.length === 1 ? ["%r"] : outputs.map((_, i) => `%r#${i}`);
  inner.line(`return ${results.join(", ")} : ${globalTypes.outputs.join(", ")}`);
  return moduleText(chip, inner, global, { definitions: writer });
}

interface ModuleParts {
  readonly constraints?: ReadonlyMap<ValueId, ShardingConstraint>;
  /** The writer with the definitions that precede the module; the body by default. */
  readonly definitions?: Writer;
}

/** The text of a module: arguments, body, results. `global` has the global types, `graph` the shardings. */
function moduleText(graph: Graph, body: Writer, global: Graph, { constraints: constraints, definitions = body }: ModuleParts): string {
  const mesh = ensure(graph.mesh, "mesh");
  const outputAt = new Map(graph.outputs.map(({ name }, i) => [name, i]));
  const parameterTypes = new Map(parametersOf(global).map(({ attrs, type }) => [attrs.name, type]));
  const perDevice = graph.level === "chip";
  const args = parametersOf(graph).map(({ id, attrs, sharding }, i) => {
    const next = outputAt.get(attrs.name);
    const list = [
      `sdy.sharding = #sdy.sharding${sdySharding(mesh, ensure(sharding, "sharding"), constraints?.get(id)?.notes)}`,
      ...(next === undefined ? [] : [`tf.aliasing_output = ${next} : i32`]),
    ];
    return `%${perDevice ? `arg${i}` : `v${id}`}: ${mlirType(ensure(parameterTypes.get(attrs.name), attrs.name))} {${list.join(", ")}} loc(${quoted(attrs.name)})`;
  });
  const results = graph.outputs.map(({ name, value }, i) => {
    const whole = ensure(global.values[ensure(global.outputs[i], name).value], name).type;
    const notes = constraints?.get(stateOf(graph, name)?.id ?? value)?.notes;
    return `${mlirType(whole)} {jax.result_info = ${quoted(name)}, sdy.sharding = #sdy.sharding${sdySharding(mesh, outputSharding(graph, name, value), notes)}}`;
  });
  return [
    ...definitions.aliases(),
    `module @${graph.name} attributes {mhlo.num_partitions = ${meshSize(mesh)} : i32, mhlo.num_replicas = 1 : i32} {`,
    `  ${sdyMesh(mesh)}`,
    `  func.func public @main(\n      ${args.join(",\n      ")}\n  ) -> (\n      ${results.join(",\n      ")}\n  ) {`,
    ...body.lines(),
    "  }",
    "}",
    "",
  ].join("\n");
}

/** The sharding of an output: that of its parameter if the output is the next state of a parameter, otherwise that of its value. */
export function outputSharding(graph: Graph, name: string, value: ValueId): Sharding {
  return ensure((stateOf(graph, name) ?? graph.values[value])?.sharding, `sharding of ${name}`);
}

const stateOf = (graph: Graph, name: string): ValueOf<"parameter"> | undefined =>
  parametersOf(graph).find(({ attrs }) => attrs.name === name);

/**
 * Writes every value except parameters, which are arguments `%v<id>`.
 *
 * @param finish may wrap a written value; later uses read the name that it returns
 * @returns the SSA name of every value
 */
function writeBody(graph: Graph, writer: Writer, finish: (value: Value, name: string) => string): Map<ValueId, string> {
  const names = new Map<ValueId, string>();
  const barriers = new Map([...findRematBarriers(graph), ...findChunkBarriers(graph)]);
  const renamedOperands = new Map<ValueId, ReadonlyMap<ValueId, string>>();
  const write = (value: Value): void => {
    writer.setLocation(`${value.name}#${value.id}`);
    const barrier = barriers.get(value.id);
    if (barrier !== undefined) {
      const barrierResults = writeBarrier(graph, writer, barrier, names);
      for (const member of barrier.members) renamedOperands.set(member, barrierResults);
    }
    const nameOf = (id: ValueId): string => renamedOperands.get(value.id)?.get(id) ?? ensure(names.get(id), `operand ${id}`);
    const own = `%v${value.id}`;
    if (value.op === "parameter") {
      names.set(value.id, own);
      return;
    }
    const inputs = value.inputs.map((id) => ensure(graph.values[id], "operand"));
    const printed = printerOf<OpName>(value.op)({ writer, value, attrs: value.attrs, inputs, names: value.inputs.map(nameOf) });
    if (typeof printed === "string") writer.assign(own, printed);
    names.set(value.id, finish(value, typeof printed === "string" ? own : printed.sameAs));
  };
  const regions = new Map(regionsOf(graph).map((region) => [region.id, region]));
  for (const value of graph.values) {
    const region = regions.get(value.scope.region?.id ?? -1);
    if (region === undefined) write(value);
    else if (value.id === region.first) writeRegion(graph, writer, region, { names, write, finish });
  }
  return names;
}

interface RegionContext {
  readonly names: Map<ValueId, string>;
  readonly write: (value: Value) => void;
  readonly finish: (value: Value, name: string) => string;
}

/** Writes a region as a `stablehlo.while`. Its carried values are those of the region, then the number of the iteration. */
function writeRegion(graph: Graph, writer: Writer, region: Region, { names, write, finish }: RegionContext): void {
  const at = (id: ValueId): Value => ensure(graph.values[id], "value");
  const nameOf = (id: ValueId | undefined): string => ensure(names.get(id ?? -1), `operand ${id}`);
  const yielded = region.yields.map(at);
  const carried = yielded.map(({ inputs }) => at(ensure(inputs[0], "carry")));
  const types = [...carried.map(({ type }) => mlirType(type)), "tensor<i32>"].join(", ");
  const [index, results] = [`%i${region.id}`, `%w${region.id}`];
  const initial = carried.map(({ id, inputs }) => `%v${id} = ${nameOf(inputs[0])}`);
  const zero = writer.scalar(0, "i32");
  writer.line(`${results}:${carried.length + 1} = stablehlo.while(${[...initial, `${index} = ${zero}`].join(", ")}) : ${types}`);
  writer.line("cond {");
  writer.block(() => {
    const count = writer.scalar(region.count, "i32");
    const isLess = writer.temporary(`stablehlo.compare LT, ${index}, ${count}, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>`);
    writer.line(`stablehlo.return ${isLess} : tensor<i1>`);
  });
  writer.line("} do {");
  writer.block(() => {
    for (const value of carried) names.set(value.id, finish(value, `%v${value.id}`));
    for (let id = region.first; id <= region.last; id++) if (at(id).op !== "carry" && at(id).op !== "yield") write(at(id));
    const next = writer.temporary(`stablehlo.add ${index}, ${writer.scalar(1, "i32")} : tensor<i32>`);
    writer.line(`stablehlo.return ${[...yielded.map(({ inputs }) => nameOf(inputs[1])), next].join(", ")} : ${types}`);
  });
  writer.line("}");
  yielded.forEach((value, i) => names.set(value.id, finish(value, `${results}#${i}`)));
}

/** Writes a barrier; returns the name of the result for each operand. */
function writeBarrier(
  graph: Graph,
  writer: Writer,
  { operands, trigger, awaited = [] }: OrderBarrier,
  names: Map<ValueId, string>,
): ReadonlyMap<ValueId, string> {
  const all = trigger === undefined ? operands : [...operands, trigger];
  const at = (id: ValueId): Value => ensure(graph.values[id], "operand");
  const list = all.map((id) => ensure(names.get(id), "operand"));
  const types = all.map((id) => mlirType(at(id).type));
  const name = writer.temporaries(all.length, `stablehlo.optimization_barrier ${list.join(", ")} : ${types.join(", ")}`);
  const result = (i: number): string => (all.length === 1 ? name : `${name}#${i}`);
  if (trigger !== undefined) names.set(trigger, result(operands.length));
  const areNumbers = graph.level === "chip" ? awaited.map((id) => writeIsNumber(writer, at(id), ensure(names.get(id), "awaited"))) : [];
  const [first, ...others] = areNumbers;
  if (first === undefined) return new Map(operands.map((id, i) => [id, result(i)]));
  const areAllNumbers = others.reduce((a, b) => writer.temporary(`stablehlo.and ${a}, ${b} : tensor<i1>`), first);
  return new Map(
    operands.map((id, i) => {
      const { type } = at(id);
      if (type.dtype !== "f32") return [id, result(i)];
      const text = mlirType(type);
      const nan = writer.temporary(`stablehlo.constant dense<0x7FC00000> : ${text}`);
      return [id, writer.temporary(`stablehlo.select ${areAllNumbers}, ${result(i)}, ${nan} : tensor<i1>, ${text}`)];
    }),
  );
}

/** Writes whether the first element of an array is a number and not NaN. */
function writeIsNumber(writer: Writer, { type }: Value, name: string): string {
  const one = { ...type, dims: type.dims.map(() => 1) };
  const scalar = { ...type, dims: [] };
  const range = type.dims.map(() => "0:1").join(", ");
  const slice = writer.temporary(`stablehlo.slice ${name} [${range}] : (${mlirType(type)}) -> ${mlirType(one)}`);
  const element = writer.temporary(`stablehlo.reshape ${slice} : (${mlirType(one)}) -> ${mlirType(scalar)}`);
  const compared = `${mlirType(scalar)}, ${mlirType(scalar)}`;
  return writer.temporary(`stablehlo.compare EQ, ${element}, ${element}, FLOAT : (${compared}) -> tensor<i1>`);
}
