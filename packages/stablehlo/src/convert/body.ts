import type { Value } from "@lapidary/ir";
import type { Block, Operation, Region } from "../text/syntax.js";
import { stringOf } from "./attribute-values.js";
import { denseItem } from "./dense.js";
import { elementwiseConverters } from "./elementwise.js";
import { type Item, uniform, uniformOf } from "./item.js";
import { OpContext, staticTypeOf, Unconvertible } from "./lowering.js";

/** Functions that a body may call inside one another. */
const maxCalls = 20;

/**
 * Computes a region of scalars, such as the comparator of a sort or the combiner of a reduction, on whole arrays of equal dims: its operations are
 * elementwise.
 */
export function applyBody(c: OpContext, region: Region | undefined, args: readonly Value[]): Value[] {
  const block = region?.blocks[0];
  if (block === undefined || region?.blocks.length !== 1 || block.arguments.length !== args.length)
    throw new Unconvertible("its region does not have one block with an argument for each array");
  const items = args.map((value, i) => c.low.item(staticTypeOf(block.arguments[i]?.type)?.element ?? "f32", value));
  return run(c, block, items, args[0]?.type.dims ?? [], 0).map((item) => c.low.value(item));
}

function run(c: OpContext, block: Block, args: readonly Item[], dims: readonly number[], depth: number): readonly Item[] {
  const names = new Map(block.arguments.map(({ name }, i) => [name, args.slice(i, i + 1)]));
  for (const op of block.operations) {
    c.low.countOperation();
    const items = op.operands.map(({ name, index }) => {
      const item = names.get(name)?.[index];
      if (item === undefined) throw new Unconvertible("its region reads values from outside");
      return item;
    });
    if (op.name.endsWith(".return")) return items;
    const results = convert(c, op, items, dims, depth);
    let next = 0;
    for (const { name, count } of op.results) {
      names.set(name, results.slice(next, next + count));
      next += count;
    }
  }
  throw new Unconvertible("its region returns nothing");
}

function convert(c: OpContext, op: Operation, items: readonly Item[], dims: readonly number[], depth: number): readonly Item[] {
  if (op.name === "func.call") {
    const callee = c.low.functions.get(stringOf(op.attributes.get("callee")) ?? "")?.regions[0]?.blocks[0];
    if (callee === undefined || depth >= maxCalls) throw new Unconvertible("its region calls functions without end");
    return run(c, callee, items, dims, depth + 1);
  }
  const types = op.resultTypes.map(staticTypeOf);
  if (types.some((type) => type === undefined || type.dims.length > 0)) throw new Unconvertible("its region computes more than scalars");
  if (op.name === "stablehlo.constant") {
    const scalar = denseItem({ element: types[0]?.element ?? "f32", dims: [] }, op.attributes.get("value"));
    const value = typeof scalar === "string" ? undefined : uniformOf(scalar);
    if (value === undefined) throw new Unconvertible("its region has a constant that is not readable");
    return [uniform({ element: types[0]?.element ?? "f32", dims }, value)];
  }
  // From one scalar to one scalar.
  if (op.name === "stablehlo.broadcast_in_dim" || op.name === "stablehlo.reshape") return items;
  const [, name = ""] = op.name.split(".");
  const converter = Object.hasOwn(elementwiseConverters, name) ? elementwiseConverters[name] : undefined;
  if (converter === undefined) throw new Unconvertible(`its region has the operation ${op.name}, which is not elementwise`);
  const wide = { ...op, resultTypes: op.resultTypes.map((type) => (type.kind === "tensor" ? { ...type, dims: [...dims] } : type)) };
  return converter(new OpContext(c.low, wide, items));
}
