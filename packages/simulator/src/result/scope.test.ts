import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile, type Program, type RematPolicy } from "@lapidary/compiler";
import type { Graph, Value } from "@lapidary/ir";
import { parseMesh, parseTorus } from "@lapidary/topology";
import { middleBlock } from "../html/timeline-svg.js";
import { type Simulation, simulate } from "../simulate.js";
import { trainGraph, v5e } from "../testing/fixtures.js";
import { blockBegins, offloadedValues } from "./memory-of-chip.js";
import { planReport } from "./plan-report.js";

const layers = 3;

/** The same step with names that contain no blocks and no gradients. */
const renamed = (graph: Graph): Graph => ({ ...graph, values: graph.values.map((value) => ({ ...value, name: `x${value.id}` }) as Value) });

const programOf = (graph: Graph, remat: RematPolicy, prefetchBlocks: number): Program =>
  compile(graph, {
    mesh: parseMesh("data=4"),
    rules: { batch: "data" },
    zero: { stage: 3, axes: ["data"] },
    remat,
    prefetchBlocks,
  });
const simulationOf = (program: Program): Simulation => simulate(program, { chip: v5e, pods: 1, torus: parseTorus("2x2") });

/** A program without names and causes. */
const withoutNames = ({ values, outputs }: Graph): unknown => [values.map(({ name: _, cause: __, ...rest }) => rest), outputs];

describe("the scope of a value", () => {
  const graph = trainGraph({ layers });

  for (const remat of ["none", "dots", "full", "offload"] as const)
    it(`the scope, and not the name, decides rematerialization, prefetch and memory by layer with remat=${remat}`, () => {
      for (const prefetchBlocks of [0, 1, 2]) {
        const [named, nameless] = [programOf(graph, remat, prefetchBlocks), programOf(renamed(graph), remat, prefetchBlocks)];
        deepStrictEqual(withoutNames(nameless.chip), withoutNames(named.chip));
        deepStrictEqual(nameless.schedule, named.schedule);
        deepStrictEqual(nameless.memory, named.memory);
        deepStrictEqual(blockBegins(nameless), blockBegins(named));
        deepStrictEqual(offloadedValues(nameless), offloadedValues(named));
        if (prefetchBlocks !== 1) continue;
        const [a, b] = [simulationOf(named), simulationOf(nameless)];
        deepStrictEqual(b.memory, a.memory);
        deepStrictEqual(middleBlock(b), middleBlock(a));
        strictEqual(planReport(b).step_time_s, planReport(a).step_time_s);
      }
    });

  it("values of all passes of a layer have its block", () => {
    const program = programOf(renamed(graph), "full", 1);
    ok(blockBegins(program).length >= layers);
    const blocksIn = (phase: Value["scope"]["phase"]): number[] =>
      [...new Set(program.chip.values.flatMap(({ scope }) => (scope.phase === phase ? (scope.block ?? []) : [])))].sort();
    for (const phase of ["forward", "recompute", "backward"] as const) deepStrictEqual(blocksIn(phase), [0, 1, 2], phase);
    ok(middleBlock(simulationOf(program)) !== undefined);
  });

  it("the block decides how far ahead the gathers of a layer start", () => {
    const startsOf = (prefetchBlocks: number): readonly number[] => [
      ...programOf(renamed(graph), "full", prefetchBlocks).schedule.startBefore.values(),
    ];
    const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
    ok(sum(startsOf(1)) < sum(startsOf(0)));
    ok(sum(startsOf(2)) < sum(startsOf(1)));
  });

  it("remat=offload stores the projections of attention of all layers on the host", () => {
    strictEqual(offloadedValues(programOf(renamed(graph), "offload", 1)).size, 3 * layers);
  });

  it("weights, their gradients and their collectives have the block of the layer that uses the weight", () => {
    const { chip } = programOf(graph, "full", 1);
    for (const op of ["parameter", "all_gather", "reduce_scatter"] as const) {
      const found = chip.values.filter((value) => value.op === op && (value.role === "param" || value.role === "gradient"));
      ok(found.length >= 6 * layers, op);
      for (const { name, scope } of found) strictEqual(name.includes(`.layers.${scope.block}.`), true, name);
    }
  });
});
