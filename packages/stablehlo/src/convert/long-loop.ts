import type { Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Block, Operation } from "../text/syntax.js";
import { dtypeOf, type Item, uniform, uniformOf } from "./item.js";
import { type Lowering, Unconvertible } from "./lowering.js";

/** A loop of the text: its blocks, the values that it begins with, and how a block is converted. */
export interface TextLoop {
  readonly condition: Block;
  readonly body: Block;
  readonly args: readonly Item[];
  readonly run: (block: Block, args: readonly Item[]) => readonly Item[];
}

/** A carried number that changes by `step` in every turn and ends the loop. */
export interface Counter {
  readonly position: number;
  readonly first: number;
  readonly step: number;
  readonly turns: number;
}

/** The longest loop whose turns are counted. */
const mostTurns = 2 ** 30;

/**
 * The counter of a loop, if the condition depends only on it. Both blocks are reduced to the operations that compute the condition and the
 * next counter. These fold to numbers, so that the graph does not change.
 */
export function counterOf({ condition, body, args, run }: TextLoop): Counter | undefined {
  const last = body.operations.at(-1);
  const test = sliceOf(condition, 0);
  if (last === undefined || test === undefined) return undefined;
  for (const [position, arg] of args.entries()) {
    const first = uniformOf(arg);
    const next = sliceOf(body, position);
    if (first === undefined || next === undefined) continue;
    if (!readsOnly(test, position, { body, args }) || !readsOnly(next, position, { body, args })) continue;
    const at = (block: Block, value: number): number | undefined => {
      const [result] = run(
        block,
        args.map((item, i) => (i === position ? uniform(item, value) : item)),
      );
      return result === undefined ? undefined : uniformOf(result);
    };
    const second = at(next, first);
    if (second === undefined || second === first) continue;
    const step = second - first;
    if (at(next, second) !== second + step) continue;
    const turns = firstFalse((n) => at(test, first + n * step));
    if (turns !== undefined) return { position, first, step, turns };
  }
  return undefined;
}

/** The first number for which a test that turns false once is 0; undefined if it is not known or too large. */
function firstFalse(test: (n: number) => number | undefined): number | undefined {
  let high = 1;
  if (test(0) === 0) return 0;
  while (test(high) === 1) {
    high *= 2;
    if (high > mostTurns) return undefined;
  }
  let low = Math.floor(high / 2);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (test(middle) === 1) low = middle;
    else high = middle;
  }
  return test(low) === 1 && test(high) === 0 ? high : undefined;
}

/** A block with only the operations that compute operand `position` of its last operation; undefined if one of them has regions. */
function sliceOf(block: Block, position: number): Block | undefined {
  const last = block.operations.at(-1);
  const use = last?.operands[position];
  if (last === undefined || use === undefined) return undefined;
  const needed = new Set([use.name]);
  const operations: Operation[] = [];
  for (const op of block.operations.slice(0, -1).toReversed()) {
    if (!op.results.some(({ name }) => needed.has(name))) continue;
    if (op.regions.length > 0) return undefined;
    operations.unshift(op);
    for (const { name } of op.operands) needed.add(name);
  }
  return { ...block, operations: [...operations, { ...last, operands: [use] }] };
}

/** Whether the operations of a part of a block read no arguments but the one at `position`, and numbers that no turn changes. */
function readsOnly(slice: Block, position: number, { body, args }: Pick<TextLoop, "body" | "args">): boolean {
  const names = new Set(slice.operations.flatMap(({ operands }) => operands.map(({ name }) => name)));
  return slice.arguments.every(({ name }, i) => !names.has(name) || i === position || (isInvariant(body, i) && args[i]?.kind === "known"));
}

/** Whether every turn passes an argument on unchanged. */
const isInvariant = (body: Block, position: number): boolean => {
  const name = body.arguments[position]?.name;
  const returned = body.operations.at(-1)?.operands[position];
  return name !== undefined && returned?.name === name && returned.index === 0;
};

/** Converts a loop that is too long to unroll to a region. Values that no turn changes are not carried. */
export function repeatLoop(low: Lowering, { body, args, run }: TextLoop, counter: Counter): readonly Item[] {
  const carried = args.flatMap((item, i) => (isInvariant(body, i) ? [] : [{ item, i }]));
  for (const { item } of carried)
    if (dtypeOf(item.element) === undefined)
      throw new Unconvertible(`it carries an array of ${item.element} in more turns than are unrolled`);
  const results = low.repeat(
    counter.turns,
    carried.map(({ item }) => low.value(item)),
    (values) => {
      const own = new Map(carried.map(({ item, i }, at) => [i, low.item(item.element, ensure(values[at], "carried value"))]));
      const next = run(
        body,
        args.map((item, i) => own.get(i) ?? item),
      );
      if (next.length !== args.length) throw new Unconvertible("its body returns another number of values than it carries");
      return carried.map(({ item, i }): Value => {
        const returned = next[i];
        if (returned === undefined || returned.element !== item.element || returned.dims.join() !== item.dims.join())
          throw new Unconvertible("its body returns a value of another type than it carries");
        return low.value(returned);
      });
    },
  );
  const after = new Map(carried.map(({ item, i }, at) => [i, low.item(item.element, ensure(results[at], "result"))]));
  const { position, first, step, turns } = counter;
  return args.map((item, i) => (i === position ? uniform(item, first + turns * step) : (after.get(i) ?? item)));
}
