import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { type Graph, parseGraph } from "@lapidary/ir";
import { schedule, verifySchedule } from "./schedule.js";

/** Three layers that gather their weights, and a backward pass that reduces a gradient of each. */
const program = parseGraph(`graph p chip mesh data=2
%0 = parameter name="w0" : f32[2] <param> [data] #0 @w0
%1 = parameter name="w1" : f32[2] <param> [data] #1 @w1
%2 = parameter name="w2" : f32[2] <param> [data] #2 @w2
%3 = parameter name="x" : f32[4] <batch> [-] @x
%4 = all_gather %0 dimension=0 axes=["data"] size=2 : f32[4] [-] #0 @w0
%5 = multiply %3 %4 : f32[4] [-] #0 @y0
%6 = all_gather %1 dimension=0 axes=["data"] size=2 : f32[4] [-] #1 @w1
%7 = multiply %5 %6 : f32[4] [-] #1 @y1
%8 = all_gather %2 dimension=0 axes=["data"] size=2 : f32[4] [-] #2 @w2
%9 = multiply %7 %8 : f32[4] [-] #2 @y2
return y=%9`);

const starts = (graph: Graph, prefetchBlocks: number): Record<number, number> =>
  Object.fromEntries(schedule(graph, { prefetchBlocks }).startBefore);

describe("the schedule of a program", () => {
  it("a gather of a parameter starts the given number of blocks before the block that uses it", () => {
    deepStrictEqual(schedule(program).order, [4, 5, 6, 7, 8, 9]);
    // Blocks begin at steps 1, 3 and 5. The gathers are done at steps 0, 2 and 4, in the block before.
    deepStrictEqual(starts(program, 0), { 4: 0, 6: 2, 8: 4 });
    deepStrictEqual(starts(program, 1), { 4: 0, 6: 0, 8: 1 });
    deepStrictEqual(starts(program, 2), { 4: 0, 6: 0, 8: 0 });
    deepStrictEqual(Object.fromEntries(schedule(program).startBefore), starts(program, 1));
  });

  it("a gather starts after its operand is computed, and views of parameters are computed first", () => {
    const late = parseGraph(`graph p chip mesh data=2
%0 = parameter name="x" : f32[2] <batch> [data] @x
%1 = parameter name="w" : f32[2] <param> [data] #0 @w
%2 = exponential %0 : f32[2] [data] #0 @e
%3 = tanh %2 : f32[2] [data] #1 @t
%4 = all_gather %3 dimension=0 axes=["data"] size=2 : f32[4] [-] #2 @g
%5 = negate %1 : f32[2] [data] #2 @n
%6 = all_gather %5 dimension=0 axes=["data"] size=2 : f32[4] [-] #2 @h
%7 = add %4 %6 : f32[4] [-] #2 @a
return a=%7`);
    const { order, startBefore } = schedule(late, { prefetchBlocks: 3 });
    deepStrictEqual(order, [5, 2, 3, 4, 6, 7]);
    // The operand of %4 is ready after step 2, and that of %6 after step 0.
    deepStrictEqual([startBefore.get(4), startBefore.get(6)], [3, 1]);
  });

  /** A reduction whose result is used at the end, with blocks in between. */
  const reduction = (op: string, users = "%6"): Graph =>
    parseGraph(`graph p chip mesh data=2
%0 = parameter name="x" : f32[4] <batch> [-] @x
%1 = parameter name="y" : f32[2,4] <batch> [data, -] @y
%2 = reduce %1 dims=[0] kind="sum" : f32[4] [-] unreduced data #0 @g
%3 = ${op}
%4 = exponential %0 : f32[4] [-] #1 @e
%5 = tanh %4 : f32[4] [-] #2 @t
%6 = negate %5 : f32[4] [-] #3 @n
%7 = reduce %3 dims=[0] kind="max" : f32[] [] #4 @r
return r=%7 n=${users}`);
  const allReduce = 'all_reduce %2 axes=["data"] size=2 kind="sum" : f32[4] [-] #0 @g';

  it("a reduction starts as soon as its operand exists, and is done at the next block, so that the unreduced array is freed", () => {
    const { order, startBefore } = schedule(reduction(allReduce));
    deepStrictEqual(order, [2, 3, 4, 5, 6, 7]);
    strictEqual(startBefore.get(3), 1);
    const sameBlock = parseGraph(
      `graph p chip mesh data=2
%0 = parameter name="y" : f32[2,4] <batch> [data, -] @y
%1 = reduce %0 dims=[0] kind="sum" : f32[4] [-] unreduced data #0 @g
%2 = ${allReduce.replace("%2", "%1")}
%3 = exponential %0 : f32[2,4] [data, -] #0 @e
%4 = tanh %3 : f32[2,4] [data, -] #0 @t
%5 = exponential %0 : f32[2,4] [data, -] #1 @f
%6 = negate %2 : f32[4] [-] #2 @n
return n=%6 t=%4 f=%5`,
    );
    // It overlaps the rest of its block, steps 1 and 2, and is done before %5 begins the next.
    const { order: moved, startBefore: early } = schedule(sameBlock);
    deepStrictEqual(moved, [1, 3, 4, 2, 5, 6]);
    strictEqual(early.get(2), 1);
  });

  it("conversions and views of a reduced value wait with the reduction until the next block", () => {
    const program = parseGraph(`graph p chip mesh data=2
%0 = parameter name="y" : f32[2,4] <batch> [data, -] @y
%1 = reduce %0 dims=[0] kind="sum" : f32[4] [-] unreduced data #0 @g
%2 = ${allReduce.replace("%2", "%1")}
%3 = convert %2 dtype="bf16" : bf16[4] [-] #0 @c
%4 = broadcast_in_dim %3 dims=[1,4] broadcastDimensions=[1] : bf16[1,4] [-, -] #0 @b
%5 = exponential %0 : f32[2,4] [data, -] #0 @e
%6 = exponential %5 : f32[2,4] [data, -] #1 @f
%7 = negate %4 : bf16[1,4] [-, -] #2 @n
return n=%7 f=%6`);
    const { order, startBefore } = schedule(program);
    deepStrictEqual(order, [1, 5, 2, 3, 4, 6, 7]);
    strictEqual(startBefore.get(2), 1);
    verifySchedule(program, { order, startBefore });
  });

  it("a gather of a slice of a stacked parameter starts in the block before", () => {
    const stacked = parseGraph(`graph p chip mesh data=2
%0 = parameter name="w" : f32[2,2] <param> [-, data] @w
%1 = parameter name="x" : f32[1,4] <batch> [-, -] @x
%2 = exponential %1 : f32[1,4] [-, -] #0 @e
%3 = tanh %2 : f32[1,4] [-, -] #1 @t
%4 = slice %0 start=[1,0] limit=[2,2] : f32[1,2] [-, data] #2 @s
%5 = all_gather %4 dimension=1 axes=["data"] size=2 : f32[1,4] [-, -] #2 @g
%6 = multiply %3 %5 : f32[1,4] [-, -] #2 @m
return m=%6`);
    const { order, startBefore } = schedule(stacked);
    deepStrictEqual(order, [4, 2, 3, 5, 6]);
    strictEqual(startBefore.get(5), 1);
  });

  it("verifySchedule rejects a schedule that uses a value before its step, forgets one, or starts a collective too early", () => {
    const good = schedule(program);
    verifySchedule(program, good);
    const [a, b, ...rest] = good.order;
    throws(() => verifySchedule(program, { ...good, order: [b ?? 0, a ?? 0, ...rest] }), /operands come before their uses/);
    throws(() => verifySchedule(program, { ...good, order: rest }), /one step/);
    throws(() => verifySchedule(program, { ...good, order: [...good.order, 9] }), /one step/);
    throws(() => verifySchedule(program, { ...good, startBefore: new Map([[4, 3]]) }), /start/);
    const computed = reduction(allReduce);
    throws(() => verifySchedule(computed, { ...schedule(computed), startBefore: new Map([[3, 0]]) }), /operand|start/);
  });
});
