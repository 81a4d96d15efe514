import { type Graph, ops, type TensorType, tensorType, type ValueRole, verifyGraph } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import { parseModule } from "../text/parse.js";
import type { Attribute, Attributes, Operation, SourceModule } from "../text/syntax.js";
import { integer, stringOf } from "./attribute-values.js";
import { runBlock } from "./control.js";
import { DeviceShardings, meshOfDevices } from "./gspmd.js";
import { dtypeOf, type Item } from "./item.js";
import { type Limits, Lowering, type Refusal, staticTypeOf } from "./lowering.js";
import { markUpdate } from "./phase.js";
import { type MeshAxis, meshOf, type TextSharding } from "./sharding.js";

/** An argument of the step: a leaf of its state or of its batch. */
export interface StepArgument {
  /** The name of the parameter in the graph: `state.0.blocks.down`. */
  readonly name: string;
  /** The name in the user's program: `state[0]['blocks']['down']`. */
  readonly leaf: string;
  readonly type: TensorType;
  /** The element type of the text. ui32 are i32 with the same bits in the graph. */
  readonly element: string;
  readonly role: ValueRole;
  readonly sharding?: TextSharding;
}

export interface StepResult {
  /** The name of the output: that of the argument that the result renews, or its own. */
  readonly name: string;
  readonly leaf: string;
  readonly type: TensorType;
  /** The value of the graph. A result that renews an argument has one of its own. */
  readonly value: string;
  /** The argument that has this value in the next step. */
  readonly renews?: number;
  readonly sharding?: TextSharding;
}

/** A step of a user, as a graph that the compiler partitions. */
export interface ImportedStep {
  readonly graph: Graph;
  /** The axes of the mesh that the text names, major to minor; undefined if it names none. */
  readonly mesh?: readonly MeshAxis[];
  readonly arguments: readonly StepArgument[];
  readonly results: readonly StepResult[];
  /** Shardings that the text states, by name of the value. */
  readonly constraints: ReadonlyMap<string, TextSharding>;
}

const defaultLimits: Limits = { turns: 1024, values: 400_000 };

/**
 * Reads the text of a step and converts its function `@main`. Calls are inlined and loops unrolled.
 *
 * @param named the axes of the mesh, major to minor, for a text that numbers its devices (JAX before 0.8)
 */
export function importStep(text: string, file: string, limits: Limits = defaultLimits, named: readonly MeshAxis[] = []): ImportedStep {
  const module = parseModule(text, file);
  const operations = module.operation.regions[0]?.blocks.flatMap((block) => block.operations) ?? [];
  const functions = new Map(
    operations.flatMap((op) => (op.name === "func.func" ? [[stringOf(op.attributes.get("sym_name")) ?? "", op]] : [])),
  );
  const main = functions.get("main");
  const [block, second] = main?.regions[0]?.blocks ?? [];
  if (main === undefined || block === undefined || second !== undefined)
    throw new LapidaryError({
      code: "LAP_IMPORT_TEXT",
      message: "the module has no function @main of one block",
      location: file,
      remedy: "write the text of a jitted step: `jax.jit(step).lower(…).as_text()`",
    });
  const devices = meshOfModule(module, operations) === undefined ? meshOfDevices(module, operations, named) : undefined;
  const mesh = meshOfModule(module, operations) ?? devices;
  const low = new Lowering(module, functions, limits, stringOf(module.operation.attributes.get("sym_name")) ?? "step");
  low.mesh = mesh ?? [];
  low.devices = new DeviceShardings(devices ?? []);
  const args = readArguments(low, main, readRenewals(low, main));
  const items = args.map(({ name, type, element, role }) => low.item(element, low.b.parameter(name, type, undefined, role)));
  const returned = runBlock(low, block, items, { calls: ["main"] });
  const results = readResults(low, main, args, returned);
  if (low.refusals.length > 0) throw refusalError(file, low.refusals);
  for (const { name, sharding } of args) if (sharding !== undefined) low.constraints.set(name, sharding);
  markUpdate(low.b.values);
  const graph = low.b.finish();
  verifyGraph(graph);
  return {
    graph,
    ...(mesh === undefined ? {} : { mesh }),
    arguments: args,
    results,
    constraints: low.constraints.byName(),
  };
}

/** The mesh of a text. Meshes of equal axes are one mesh. */
function meshOfModule({ file }: SourceModule, operations: readonly Operation[]): readonly MeshAxis[] | undefined {
  const meshes = operations.filter(({ name }) => name === "sdy.mesh").map((op) => ({ op, ...meshOf(op) }));
  const [first] = meshes.filter(({ axes }) => axes.length > 0);
  const refuse = (op: Operation, message: string, remedy: string): LapidaryError =>
    new LapidaryError({ code: "LAP_IMPORT_SHARDING", message, location: `${file}:${op.line}`, remedy });
  for (const { op, axes, reordered } of meshes) {
    if (reordered)
      throw refuse(op, "the devices of the mesh are not in row-major order", "make the mesh with `jax.make_mesh`, or with an AbstractMesh");
    const differs = axes.length > 0 && JSON.stringify(axes) !== JSON.stringify(first?.axes);
    if (differs) throw refuse(op, "the text has several meshes with different axes", "use one mesh in the whole step");
  }
  return first?.axes;
}

const attributesOf = (op: Operation, key: string): Attributes[] => {
  const list = op.attributes.get(key);
  return list?.kind === "array" ? list.items.map((item) => (item.kind === "dictionary" ? item.entries : new Map<string, Attribute>())) : [];
};

/** `state[0]['blocks']['down']` → `state.0.blocks.down`. */
const graphName = (leaf: string): string =>
  leaf
    .replace(/\[['"]?([^\]'"]*)['"]?\]/g, ".$1")
    .replace(/[^\w.\-]+/g, "_")
    .replace(/\.{2,}/g, ".")
    .replace(/^\.+|\.+$/g, "") || "value";

/** A name that no other leaf has. */
function unique(name: string, taken: Set<string>): string {
  let own = name;
  for (let n = 2; taken.has(own); n++) own = `${name}_${n}`;
  taken.add(own);
  return own;
}

/** Words in the path of a leaf that decide whether it is a weight or the state of an optimizer: the first of them. */
const weightWord = /^(?:params?|weights|model|variables)$/i;
const optimizerWord = /^(?:opt|opt_state|optimizer|mu|nu|momentum|trace|count)$/i;
/** The moments of an optimizer written by hand, at the root of the state: `state['m']`. Below it, `v` is the weight of a projection. */
const momentWord = /^[mv]$/i;

/** Whether a leaf of the state is that of an optimizer: `state['v']['w']`, `state[1][0].mu['w']`, but not `state['params']['v']`. */
function isOptimizerLeaf(leaf: string): boolean {
  const words = leaf.split(/[^A-Za-z0-9_]+/).filter((word) => word !== "");
  const at = words.findIndex((word, i) => weightWord.test(word) || optimizerWord.test(word) || (i < 2 && momentWord.test(word)));
  return at >= 0 && !weightWord.test(words[at] ?? "");
}

/**
 * The names of the arguments in the user's program. Texts without locations do not have them. There, a state has the name of the result that takes
 * over its buffer: `[0]['w']` of `result[0]['w']`.
 */
function leavesOf(low: Lowering, main: Operation): string[] {
  const results = resultLeaves(main);
  const renewed = new Map([...aliases(main)].map(([result, argument]) => [argument, results[result]?.replace(/^result/, "")]));
  return (main.regions[0]?.blocks[0]?.arguments ?? []).map(
    ({ location = { kind: "unknown" }, name }, i) => low.sourceOf({ ...main, location }).path || renewed.get(i) || name,
  );
}

/** The names of the results in the user's program: `result[1]['loss']`. */
const resultLeaves = (main: Operation): string[] =>
  attributesOf(main, "res_attrs").map((own) => stringOf(own.get("jax.result_info")) ?? "");

/** Result → the argument whose buffer it takes over. */
function aliases(main: Operation): Map<number, number> {
  const of = new Map<number, number>();
  attributesOf(main, "arg_attrs").forEach((attributes, argument) => {
    const result = attributes.get("tf.aliasing_output");
    if (result?.kind === "number") of.set(integer({ ...main, attributes }, "tf.aliasing_output") ?? 0, argument);
  });
  return of;
}

function readArguments(low: Lowering, main: Operation, renewals: ReadonlyMap<number, number>): StepArgument[] {
  const attributes = attributesOf(main, "arg_attrs");
  // The compiler finds shardings by name, and a value without a name of its own has that of its op.
  const taken = new Set<string>(Object.keys(ops));
  const leaves = leavesOf(low, main);
  const renewed = new Set(renewals.values());
  return (main.regions[0]?.blocks[0]?.arguments ?? []).map((argument, i) => {
    const own = attributes[i] ?? new Map<string, Attribute>();
    const leaf = leaves[i] ?? argument.name;
    const type = staticTypeOf(argument.type);
    const dtype = type === undefined ? undefined : dtypeOf(type.element);
    if (type === undefined || dtype === undefined) low.refuse(main, `argument ${leaf} has a type that is not supported`);
    const sharding = low.shardingOf(own, type?.dims.length ?? 0);
    const isState = renewed.has(i) || own.has("jax.buffer_donor");
    const isFloat = dtype === "f32" || dtype === "bf16";
    return {
      name: unique(graphName(leaf), taken),
      leaf,
      type: tensorType(dtype ?? "f32", type?.dims ?? []),
      element: type?.element ?? "f32",
      role: !isState ? "batch" : isOptimizerLeaf(leaf) || !isFloat ? "optimizer" : "param",
      ...(sharding === undefined ? {} : { sharding }),
    };
  });
}

function readResults(low: Lowering, main: Operation, args: readonly StepArgument[], returned: readonly Item[]): StepResult[] {
  const attributes = attributesOf(main, "res_attrs");
  const renewedBy = readRenewals(low, main);
  const taken = new Set(args.map(({ name }) => name));
  return returned.map((item, i) => {
    const own = attributes[i] ?? new Map<string, Attribute>();
    const leaf = stringOf(own.get("jax.result_info")) ?? `result${i}`;
    const wanted = renewedBy.get(i);
    const wantedType = wanted === undefined ? undefined : args[wanted];
    const renews = wantedType?.element === item.element && wantedType.type.dims.join() === item.dims.join() ? wanted : undefined;
    const name = (renews === undefined ? undefined : args[renews]?.name) ?? unique(graphName(leaf), taken);
    const sharding = low.shardingOf(own, item.dims.length);
    let valueName = "";
    if (dtypeOf(item.element) === undefined) low.refuse(main, `result ${leaf} has the type ${item.element}, which is not supported`);
    else {
      const value = low.outputValue(item, sharding, renews !== undefined);
      valueName = value.name;
      low.b.output(name, value);
    }
    return {
      name,
      leaf,
      value: valueName,
      type: tensorType(dtypeOf(item.element) ?? "f32", item.dims),
      ...(renews === undefined ? {} : { renews }),
      ...(sharding === undefined ? {} : { sharding }),
    };
  });
}

/**
 * Result → the argument that has its value in the next step: the one whose buffer the result takes over. The names decide for the others:
 * `params['w']` is renewed by `result[0]['w']`, if `result[0]` has every leaf of `params`.
 */
function readRenewals(low: Lowering, main: Operation): Map<number, number> {
  const of = aliases(main);
  const aliased = new Set(of.values());
  const args = treesOf(leavesOf(low, main), /^[^[.]+/);
  const results = treesOf(resultLeaves(main), /^result(?:\[\d+\])?/);
  const taken = new Set<string>();
  for (const leaves of args.values()) {
    // A root that is a leaf itself has no path to compare.
    if (leaves.has("") || [...leaves.values()].some((argument) => aliased.has(argument))) continue;
    const [root, match] =
      [...results].find(([name, paths]) => !taken.has(name) && [...leaves.keys()].every((path) => paths.has(path))) ?? [];
    if (root === undefined || match === undefined) continue;
    taken.add(root);
    for (const [path, argument] of leaves) {
      const result = match.get(path);
      if (result !== undefined && !of.has(result)) of.set(result, argument);
    }
  }
  return of;
}

/** Names grouped by their root: root → path below it → index. */
function treesOf(names: readonly string[], root: RegExp): Map<string, Map<string, number>> {
  const trees = new Map<string, Map<string, number>>();
  names.forEach((name, i) => {
    const [head] = root.exec(name) ?? [];
    if (head === undefined) return;
    const tree = trees.get(head) ?? new Map<string, number>();
    trees.set(head, tree.set(name.slice(head.length), i));
  });
  return trees;
}

/** All operations that cannot be converted, with counts. */
function refusalError(file: string, refusals: readonly Refusal[]): LapidaryError {
  const groups = new Map<string, Refusal[]>();
  for (const refusal of refusals) {
    const what = `${refusal.op}: ${refusal.reason}`;
    groups.set(what, [...(groups.get(what) ?? []), refusal]);
  }
  const lines = [...groups].map(([what, all]) => {
    const [first] = all;
    const source = first?.source === undefined ? "" : `, from ${first.source}`;
    return `${what} (${all.length === 1 ? "once" : `${all.length} times`}, first at line ${first?.line}${source})`;
  });
  return new LapidaryError({
    code: "LAP_IMPORT_OP",
    message: `${refusals.length} operations cannot be converted: ${lines.slice(0, 20).join("; ")}${lines.length > 20 ? `; and ${lines.length - 20} more kinds` : ""}`,
    location: `${file}:${refusals[0]?.line ?? 1}`,
    remedy: "write these parts of the step with other operations; the text names the line of each",
  });
}
