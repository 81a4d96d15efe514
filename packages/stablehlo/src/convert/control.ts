import { ShapeError, type Value } from "@lapidary/ir";
import type { Block, Operation, Region, ValueUse } from "../text/syntax.js";
import { stringOf } from "./attribute-values.js";
import { jointLead, spread, withLead } from "./batching.js";
import { converterOf } from "./converters.js";
import { type Item, uniform, uniformOf } from "./item.js";
import { type Converter, type Lowering, OpContext, staticTypeOf, Unconvertible } from "./lowering.js";
import { counterOf, repeatLoop, type TextLoop } from "./long-loop.js";
import { convertInRegion, enter, leave, regionOf } from "./manual.js";
import { joinPath, nameOf, phaseOf } from "./phase.js";

/** Where the conversion is: the names that are visible, and the loops and calls around. */
export interface Frame {
  readonly names: Map<string, readonly Item[]>;
  readonly outer?: Frame;
  /** The path of the call that is being inlined, in the user's program. */
  readonly path?: string;
  /** The line of that call, for operations of a function that have none. */
  readonly line?: string | undefined;
  /** The functions whose calls are being inlined. */
  readonly calls: readonly string[];
  /** The turn of the loop over the blocks of the model, and its number of turns. */
  readonly turn?: { readonly index: number; readonly turns: number };
}

/** Converts the operations of a block, and returns the operands of its last operation. */
export function runBlock(low: Lowering, block: Block, args: readonly Item[], around: Omit<Frame, "names">): readonly Item[] {
  const frame: Frame = { ...around, names: new Map() };
  block.arguments.forEach(({ name }, i) => frame.names.set(name, args.slice(i, i + 1)));
  for (const op of block.operations) {
    low.countOperation();
    const items = op.operands.map((use) => lookUp(low, frame, op, use));
    if (op.name === "func.return" || op.name === "stablehlo.return" || op.name === "sdy.return") return items;
    const results = convertOperation(low, op, items, frame);
    let next = 0;
    for (const { name, count } of op.results) {
      frame.names.set(name, results.slice(next, next + count));
      next += count;
    }
  }
  return [];
}

function lookUp(low: Lowering, frame: Frame, op: Operation, { name, index }: ValueUse): Item {
  for (let at: Frame | undefined = frame; at !== undefined; at = at.outer) {
    const item = at.names.get(name)?.[index];
    if (item !== undefined) return item;
  }
  low.refuse(op, `no operation defines %${name}${index === 0 ? "" : `#${index}`}`);
  return { element: "f32", dims: [], kind: "known", known: { kind: "uniform", value: 0 } };
}

/** Converts one operation in its pass and block. What cannot be converted is noted, and the conversion goes on. */
function convertOperation(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] {
  try {
    return structural(low, op, args, frame) ?? simple(low, op, args, frame);
  } catch (error) {
    if (error instanceof Unconvertible || error instanceof ShapeError) return low.refuse(op, error.message, frame.line);
    throw error;
  }
}

/** Operations that only a manual region has. */
const regionOps: ReadonlySet<string> = new Set(
  ["partition_id", "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "collective_permute"].map((name) => `stablehlo.${name}`),
);

function converterFor({ name }: Operation): Converter {
  const converter = converterOf(name);
  if (converter === undefined) throw new Unconvertible("the operation is not supported");
  return converter;
}

function simple(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] {
  if (converterOf(op.name) === undefined && !(low.manual !== undefined && regionOps.has(op.name)))
    return low.refuse(op, "the operation is not supported", frame.line);
  const empty = emptyResults(op);
  if (empty !== undefined) return empty;
  const source = low.sourceOf(op);
  const path = joinPath(frame.path, source.path);
  const phase = phaseOf(path);
  const name = nameOf(path);
  const plain = (own: Operation, operands: readonly Item[]): readonly Item[] => converterFor(own)(new OpContext(low, own, operands));
  const convert = (): readonly Item[] => (low.manual === undefined ? plain(op, args) : convertInRegion(low, low.manual, op, args, plain));
  const line = source.line ?? frame.line;
  const build = line === undefined ? convert : (): readonly Item[] => low.b.inLine(line, convert);
  const named = (): readonly Item[] => (name === "" ? build() : low.b.scope(name, build));
  return low.b.inPhase(phase, () => low.b.inBlock(blockOf(frame, phase), named));
}

/** The results of an operation that computes no element. The graph has no arrays without elements. */
function emptyResults({ resultTypes }: Operation): Item[] | undefined {
  const types = resultTypes.map(staticTypeOf);
  return types.length > 0 && types.every((type) => type?.dims.includes(0) === true)
    ? types.flatMap((type) => (type === undefined ? [] : [uniform(type, 0)]))
    : undefined;
}

/** The block of the model: the turn of the loop over its blocks, which the backward pass runs from the last block to the first. */
function blockOf({ turn }: Frame, phase: string): number | undefined {
  if (turn === undefined) return undefined;
  return phase === "forward" ? turn.index : turn.turns - 1 - turn.index;
}

/** Operations that contain or call others. */
function structural(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] | undefined {
  switch (op.name) {
    case "func.call":
      return call(low, op, args, frame, stringOf(op.attributes.get("callee")));
    case "stablehlo.composite": {
      const name = stringOf(op.attributes.get("name")) ?? "";
      const inner = op.attributes.get("composite_attributes");
      if (converterOf(name) !== undefined)
        return simple(
          low,
          { ...op, name, attributes: new Map([...op.attributes, ...(inner?.kind === "dictionary" ? inner.entries : [])]) },
          args,
          frame,
        );
      return call(low, op, args, frame, stringOf(op.attributes.get("decomposition")));
    }
    case "stablehlo.while":
      return unroll(low, op, args, frame);
    case "stablehlo.case":
    case "stablehlo.if":
      return branch(low, op, args, frame);
    case "sdy.manual_computation":
      return manual(low, op, args, frame);
    case "stablehlo.custom_call":
      return manualBorder(low, op, args, frame);
    default:
      return undefined;
  }
}

/** A `shard_map` region. Its operands and results are whole arrays outside of it. */
function manual(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] {
  if (low.manual !== undefined) throw new Unconvertible("a shard_map region inside of another is not supported");
  const { region, ins, outs } = regionOf(op, low.mesh);
  if (ins.length !== args.length || outs.length !== op.resultTypes.length)
    throw new Unconvertible("the region does not have one sharding for each operand and result");
  const sourceLine = low.sourceOf(op).line ?? frame.line;
  const at = <T>(build: () => T): T => (sourceLine === undefined ? build() : low.b.inLine(sourceLine, build));
  const entered = at(() => args.map((item, i) => enter(low, item, ins[i] ?? { mesh: "", dims: [] }, region)));
  low.manual = region;
  try {
    const returned = runBlock(low, only(op.regions[0]), entered, {
      path: joinPath(frame.path, low.sourceOf(op).path),
      line: sourceLine,
      calls: frame.calls,
      ...(frame.turn === undefined ? {} : { turn: frame.turn }),
    });
    return at(() => returned.map((item, i) => leave(low, item, outs[i] ?? { mesh: "", dims: [] }, region)));
  } finally {
    low.manual = undefined;
  }
}

/**
 * The borders of a `shard_map` region in a text of JAX before 0.8: calls that take one value into the region or out of it. The region is in force from
 * the first value that enters to the first that leaves.
 */
function manualBorder(low: Lowering, op: Operation, [item]: readonly Item[], frame: Frame): readonly Item[] | undefined {
  const target = stringOf(op.attributes.get("call_target_name"));
  if (target !== "SPMDFullToShardShape" && target !== "SPMDShardToFullShape") return undefined;
  if (item === undefined) throw new Unconvertible("it has no operand");
  const line = low.sourceOf(op).line ?? frame.line;
  const at = <T>(build: () => T): T => (line === undefined ? build() : low.b.inLine(line, build));
  if (target === "SPMDFullToShardShape") {
    const sharding = low.stated.get(item);
    if (sharding === undefined) throw new Unconvertible("no sharding is stated for its operand");
    const names = low.devices.manualAxes(op.attributes, item.dims.length);
    const region = {
      axes: low.mesh.filter(({ name }) => names.includes(name)).map(({ name, size }) => ({ axis: name, size })),
      mesh: low.mesh,
    };
    if (low.manual !== undefined && low.manual.axes.length !== region.axes.length)
      throw new Unconvertible("a shard_map region inside of another is not supported");
    low.manual = region;
    low.lastManual = region;
    return [at(() => enter(low, item, sharding, region))];
  }
  const region = low.lastManual;
  const sharding = low.devices.of(op.attributes, item.dims.length - (item.lead?.length ?? 0));
  if (region === undefined || sharding === undefined) throw new Unconvertible("no value entered the region that it leaves");
  low.manual = undefined;
  return [at(() => leave(low, item, sharding, region))];
}

function call(low: Lowering, op: Operation, args: readonly Item[], frame: Frame, callee: string | undefined): readonly Item[] {
  const block = low.functions.get(callee ?? "")?.regions[0]?.blocks[0];
  if (block === undefined) throw new Unconvertible(`no function is named @${callee ?? ""}`);
  if (frame.calls.includes(callee ?? "")) throw new Unconvertible("functions call one another without end");
  if (block.arguments.length !== args.length)
    throw new Unconvertible(`@${callee} has ${block.arguments.length} arguments, and the call ${args.length}`);
  const source = low.sourceOf(op);
  const path = joinPath(frame.path, source.path);
  const line = source.line ?? frame.line;
  return runBlock(low, block, args, {
    path,
    line,
    calls: [...frame.calls, callee ?? ""],
    ...(frame.turn === undefined ? {} : { turn: frame.turn }),
  });
}

const only = (region: Region | undefined): Block => {
  const [block, second] = region?.blocks ?? [];
  if (block === undefined || second !== undefined) throw new Unconvertible("a region with several blocks is not supported");
  return block;
};

/** Unrolls a loop whose condition is known before every turn. A longer loop of known length becomes a region. */
function unroll(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] {
  const [condition, body] = [only(op.regions[0]), only(op.regions[1])];
  const around = { outer: frame, calls: frame.calls, path: frame.path ?? "", line: frame.line };
  const turns = frame.turn === undefined && hasProduct(low, body, 0) ? turnsOf(low, condition, body, args, around) : undefined;
  const loop: TextLoop = {
    condition,
    body,
    args,
    run: (block, items) => runBlock(low, block, items, { ...around, ...(frame.turn === undefined ? {} : { turn: frame.turn }) }),
  };
  const counter = counterOf(loop);
  if (counter !== undefined && counter.turns > low.limits.turns) return repeatLoop(low, loop, counter);
  let carried = args;
  for (let index = 0; ; index++) {
    const [test] = runBlock(low, condition, carried, { ...around, ...(frame.turn === undefined ? {} : { turn: frame.turn }) });
    const goesOn = test === undefined ? undefined : uniformOf(test);
    if (goesOn === undefined)
      throw new Unconvertible("the number of its turns depends on data; only loops with a constant number of turns are supported");
    if (goesOn === 0) return carried;
    if (index >= low.limits.turns) throw new Unconvertible(`it has more than ${low.limits.turns} turns`);
    const turn = turns === undefined ? frame.turn : { index, turns };
    const next = runBlock(low, body, carried, { ...around, ...(turn === undefined ? {} : { turn }) });
    if (next.length !== carried.length) throw new Unconvertible("its body returns another number of values than it carries");
    carried = next;
  }
}

/** Whether the loop is over blocks of the model: its body or a function that it calls has a matmul. */
function hasProduct(low: Lowering, block: Block, depth: number): boolean {
  return block.operations.some(
    (op) =>
      op.name === "stablehlo.dot_general" ||
      op.regions.some(({ blocks }) => blocks.some((inner) => hasProduct(low, inner, depth))) ||
      (op.name === "func.call" &&
        depth < 20 &&
        (low.functions.get(stringOf(op.attributes.get("callee")) ?? "")?.regions[0]?.blocks ?? []).some((inner) =>
          hasProduct(low, inner, depth + 1),
        )),
  );
}

/** The number of turns of a loop whose counter is compared with a constant: the counter's bound minus its start, for steps of 1. */
function turnsOf(low: Lowering, condition: Block, _body: Block, args: readonly Item[], around: Omit<Frame, "names">): number | undefined {
  const counter = condition.arguments.findIndex(({ name }) =>
    condition.operations.some((op) => op.name === "stablehlo.compare" && op.operands[0]?.name === name),
  );
  const start = counter < 0 ? undefined : args[counter];
  const first = start === undefined ? undefined : uniformOf(start);
  if (start === undefined || first === undefined) return undefined;
  for (let n = 0; n <= low.limits.turns; n++) {
    const item: Item = { element: start.element, dims: start.dims, kind: "known", known: { kind: "uniform", value: first + n } };
    const [test] = runBlock(
      low,
      condition,
      args.map((arg, i) => (i === counter ? item : arg)),
      around,
    );
    if (test === undefined || uniformOf(test) !== 1) return n;
  }
  return undefined;
}

/** The branch of a known index; otherwise all branches, and a choice of their results. */
function branch(low: Lowering, op: Operation, args: readonly Item[], frame: Frame): readonly Item[] {
  const [selector] = args;
  if (selector === undefined) throw new Unconvertible("it has no index");
  const around = {
    outer: frame,
    calls: frame.calls,
    path: frame.path ?? "",
    line: frame.line,
    ...(frame.turn === undefined ? {} : { turn: frame.turn }),
  };
  const regions = op.regions.map(only);
  const last = regions.length - 1;
  const known = uniformOf(selector);
  // `if` has the branch for true first; `case` takes the last branch for an index outside of its range.
  const chosen =
    known === undefined ? undefined : op.name === "stablehlo.if" ? (known === 0 ? 1 : 0) : known < 0 || known > last ? last : known;
  const taken = chosen === undefined ? undefined : regions[chosen];
  if (taken !== undefined) return runBlock(low, taken, [], around);
  const results = regions.map((block) => runBlock(low, block, [], around));
  const { b } = low;
  return op.resultTypes.map((_, r) => {
    // In a shard_map region, chips may take different branches.
    const lead = jointLead(low.manual?.axes ?? [], [selector, ...results.flatMap((branch) => branch[r] ?? [])]);
    const own = (item: Item): Item => spread(low, item, lead);
    const index = low.value(own(selector));
    let chosenItem = results[last]?.[r];
    for (let i = last - 1; i >= 0; i--) {
      const item = results[i]?.[r];
      if (item === undefined || chosenItem === undefined) throw new Unconvertible("a branch returns too few values");
      const test: Value = index.type.dtype === "pred" ? index : b.compare(index, b.splat(i, index.type), "EQ");
      const [x, y] = [low.value(own(item)), low.value(own(chosenItem))];
      const at = lead.map((_, d) => d);
      chosenItem = withLead(low.item(item.element, b.select(b.broadcastInDim(test, x.type.dims, at), x, y)), lead);
    }
    if (chosenItem === undefined) throw new Unconvertible("it has no branches");
    return chosenItem;
  });
}
