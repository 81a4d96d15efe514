import { type Graph, type OpName, parametersOf, type Sharding, type Value, type ValueId, type ValueOf } from "@lapidary/ir";
import { assert, must } from "@lapidary/std";
import { meshSize } from "@lapidary/topology";
import { mlirType, quoted } from "./mlir.js";
import { printerOf } from "./printers.js";
import { findRenewals, type Renewal } from "./renewals.js";
import { allAxes, sdyMesh, sdySharding } from "./sdy.js";
import type { Statement } from "./stated-shardings.js";
import { Writer, type WriterOptions } from "./writer.js";

/**
 * The whole step, unpartitioned: arguments and results carry shardings, Shardy and XLA do the rest.
 *
 * @param graph global, with a sharding for every parameter and output
 * @param stated what rules say of arguments and of values between, by value
 */
export function wholeModule(graph: Graph, stated: ReadonlyMap<ValueId, Statement>, options: WriterOptions = {}): string {
  assert(graph.level === "global", "a whole graph", graph.level);
  const mesh = must(graph.mesh, "mesh");
  const writer = new Writer(mesh, false, options, "    ");
  const names = writeBody(graph, writer, (value, name) => {
    const statement = stated.get(value.id);
    if (statement === undefined) return name;
    return writer.temporary(
      `sdy.sharding_constraint ${name} ${sdySharding(mesh, statement.sharding, statement.notes)} : ${mlirType(value.type)}`,
    );
  });
  const outputs = graph.outputs.map(({ value }) => ({
    name: must(names.get(value), "output"),
    type: must(graph.values[value], "output").type,
  }));
  writer.line(`return ${outputs.map(({ name }) => name).join(", ")} : ${outputs.map(({ type }) => mlirType(type)).join(", ")}`);
  return moduleText(graph, writer, graph, { stated });
}

/**
 * Our program of one chip, as it is: one `sdy.manual_computation` over all axes, whose body has local types and explicit
 * collectives. Arguments and results outside of it are the whole arrays, as in `wholeModule`.
 *
 * @param chip level "chip"
 * @param global the graph that it was made from: it has the types of the whole arrays
 */
export function chipModule(chip: Graph, global: Graph, options: WriterOptions = {}): string {
  assert(chip.level === "chip", "a per-chip program", chip.level);
  const mesh = must(chip.mesh, "mesh");
  const writer = new Writer(mesh, true, options, "      ");
  const names = writeBody(chip, writer, (_, name) => name);
  const outputs = chip.outputs.map(({ value }) => ({ name: must(names.get(value), "output"), value: must(chip.values[value], "output") }));
  const inner = new Writer(mesh, true, options, "    ");
  const shardings = (values: readonly { readonly sharding?: Sharding | undefined }[]): string =>
    `[${values.map(({ sharding }) => sdySharding(mesh, must(sharding, "sharding"))).join(", ")}]`;
  const parameters = parametersOf(chip);
  const wholes = {
    inputs: parametersOf(global).map(({ type }) => mlirType(type)),
    outputs: global.outputs.map(({ value }) => mlirType(must(global.values[value], "output").type)),
  };
  inner.line(
    `%r${outputs.length === 1 ? "" : `:${outputs.length}`} = sdy.manual_computation(${parameters.map((_, i) => `%arg${i}`).join(", ")})` +
      `\n    in_shardings=${shardings(parameters)}` +
      `\n    out_shardings=${shardings(outputs.map(({ value }) => value))}` +
      `\n    manual_axes=${allAxes(mesh)} (${parameters.map(({ id, type }) => `%v${id}: ${mlirType(type)}`).join(", ")}) {`,
  );
  for (const line of writer.lines()) inner.raw(line);
  inner.line(`  sdy.return ${outputs.map(({ name }) => name).join(", ")} : ${outputs.map(({ value }) => mlirType(value.type)).join(", ")}`);
  inner.line(`} : (${wholes.inputs.join(", ")}) -> (${wholes.outputs.join(", ")})`);
  const results = outputs.length === 1 ? ["%r"] : outputs.map((_, i) => `%r#${i}`);
  inner.line(`return ${results.join(", ")} : ${wholes.outputs.join(", ")}`);
  return moduleText(chip, inner, global, { definitions: writer });
}

interface ModuleParts {
  readonly stated?: ReadonlyMap<ValueId, Statement>;
  /** Who knows what stands before the module; the body by default. */
  readonly definitions?: Writer;
}

/** Arguments, body, results. `global` tells the whole types; `graph` the shardings. */
function moduleText(graph: Graph, body: Writer, global: Graph, { stated, definitions = body }: ModuleParts): string {
  const mesh = must(graph.mesh, "mesh");
  const outputAt = new Map(graph.outputs.map(({ name }, i) => [name, i]));
  const wholeTypes = new Map(parametersOf(global).map(({ attrs, type }) => [attrs.name, type]));
  const inChip = graph.level === "chip";
  const args = parametersOf(graph).map(({ id, attrs, sharding }, i) => {
    const next = outputAt.get(attrs.name);
    const list = [
      `sdy.sharding = #sdy.sharding${sdySharding(mesh, must(sharding, "sharding"), stated?.get(id)?.notes)}`,
      ...(next === undefined ? [] : [`tf.aliasing_output = ${next} : i32`]),
    ];
    return `%${inChip ? `arg${i}` : `v${id}`}: ${mlirType(must(wholeTypes.get(attrs.name), attrs.name))} {${list.join(", ")}} loc(${quoted(attrs.name)})`;
  });
  const results = graph.outputs.map(({ name, value }, i) => {
    const whole = must(global.values[must(global.outputs[i], name).value], name).type;
    const notes = stated?.get(stateOf(graph, name)?.id ?? value)?.notes;
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

/** An output that is a parameter's next state lies as the parameter does; every other as its value does. */
export function outputSharding(graph: Graph, name: string, value: ValueId): Sharding {
  return must((stateOf(graph, name) ?? graph.values[value])?.sharding, `sharding of ${name}`);
}

const stateOf = (graph: Graph, name: string): ValueOf<"parameter"> | undefined =>
  parametersOf(graph).find(({ attrs }) => attrs.name === name);

/**
 * Writes every value but parameters, which are arguments `%v<id>`.
 *
 * @param finish may wrap a value that has just been written; later uses read what it returns
 * @returns the SSA name of every value
 */
function writeBody(graph: Graph, writer: Writer, finish: (value: Value, name: string) => string): Map<ValueId, string> {
  const names = new Map<ValueId, string>();
  const renewals = findRenewals(graph);
  const renewed = new Map<ValueId, ReadonlyMap<ValueId, string>>();
  for (const value of graph.values) {
    writer.at(`${value.name}#${value.id}`);
    const renewal = renewals.get(value.id);
    if (renewal !== undefined) {
      const through = writeBarrier(graph, writer, renewal, names);
      for (const member of renewal.members) renewed.set(member, through);
    }
    const nameOf = (id: ValueId): string => renewed.get(value.id)?.get(id) ?? must(names.get(id), `operand ${id}`);
    const own = `%v${value.id}`;
    if (value.op === "parameter") {
      names.set(value.id, own);
      continue;
    }
    const inputs = value.inputs.map((id) => must(graph.values[id], "operand"));
    const printed = printerOf<OpName>(value.op)({ writer, value, attrs: value.attrs, inputs, names: value.inputs.map(nameOf) });
    if (typeof printed === "string") writer.assign(own, printed);
    names.set(value.id, finish(value, typeof printed === "string" ? own : printed.sameAs));
  }
  return names;
}

/** The barrier of a block's renewed work, and what each of its operands is called behind it. */
function writeBarrier(
  graph: Graph,
  writer: Writer,
  { operands, trigger }: Renewal,
  names: Map<ValueId, string>,
): ReadonlyMap<ValueId, string> {
  const all = trigger === undefined ? operands : [...operands, trigger];
  const list = all.map((id) => must(names.get(id), "operand"));
  const types = all.map((id) => mlirType(must(graph.values[id], "operand").type));
  const name = writer.temporaries(all.length, `stablehlo.optimization_barrier ${list.join(", ")} : ${types.join(", ")}`);
  const result = (i: number): string => (all.length === 1 ? name : `${name}#${i}`);
  if (trigger !== undefined) names.set(trigger, result(operands.length));
  return new Map(operands.map((id, i) => [id, result(i)]));
}
