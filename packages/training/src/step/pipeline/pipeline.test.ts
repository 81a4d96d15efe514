import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { compile, lower } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import {
  type Graph,
  interpret,
  ops,
  parseGraph,
  printGraph,
  type Region,
  regionsOf,
  type Tensor,
  tensor,
  type TickPart,
  verifyGraph,
} from "@lapidary/ir";
import { buildModel, type Model, modelConfigSchema, type PipelineOrder, pipelineOrders, type PipelineShape } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, type Mesh, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../../job/default-rules.js";
import { seqParts } from "../../job/loss-chunks.js";
import { compileOptions } from "../../job/resolved-job.js";
import { config, expectSame, randomInputs, update } from "../../testing/step-cases.js";
import { evalStep } from "../eval-step.js";
import { trainStep } from "../train-step.js";
import { inFlightByStage } from "./tick-table.js";

const checked = { withGradients: true, withLogits: true };
/** Models with tied and with untied embeddings, and one whose layers alternate. */
const families = [
  {},
  { family: "llama", tied: false },
  { family: "gemma3", window: 4, layerTypes: ["window", "full"], queryScalar: 4 },
] as const;

const modelOf = (layers: number, family: (typeof families)[number], pipeline?: PipelineShape): Model =>
  buildModel(modelConfigSchema.parse({ ...config, ...family, layers }), { pipeline });

/** The arrays of a step of the plain model, stacked for the stages of a pipeline. */
function stack(model: Model, arrays: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const stacked = new Map(arrays);
  for (const { name, dims, layers } of model.params)
    for (const kind of ["params", "adam_m", "adam_v", "grads"]) {
      const members = (layers ?? []).flatMap((layer) => arrays.get(`${kind}/${layer}`) ?? []);
      if (members.length === 0) continue;
      for (const layer of layers ?? []) stacked.delete(`${kind}/${layer}`);
      stacked.set(`${kind}/${name}`, tensor("f32", dims, Float64Array.from(members.flatMap(({ data }) => [...data]))));
    }
  return stacked;
}

interface Case {
  readonly mesh: Mesh;
  readonly stages: number;
  readonly plain: Model;
  readonly piped: Model;
  readonly shape: { readonly batch: number; readonly seq: number };
  readonly microbatches: number;
}

/** The most layers of a drawn model. */
const mostLayers = 6;

function randomStages(seed: number, order: PipelineOrder): Case & { readonly random: ReturnType<typeof seededRandom> } {
  const random = seededRandom(seed);
  const pick = <T>(choices: readonly T[]): T => ensure(choices[random.integer(choices.length)], "choice");
  const stages = pick([2, 3, 4]);
  const [data, context, model] = pick([
    [1, 1, 1],
    [2, 1, 1],
    [2, 1, 2],
    [1, 2, 1],
    [1, 2, 2],
    [3, 1, 1],
  ] as const); // prettier-ignore
  const repeats = order === "circular" ? pick([2, 3].filter((n) => n * stages <= mostLayers || n === 2)) : 1;
  const layersPerStage = pick([1, 2].filter((n) => n === 1 || n * stages * repeats <= mostLayers));
  const layers = stages * repeats * layersPerStage;
  const family = pick(families.filter(({ family: name }: { readonly family?: string }) => name !== "gemma3" || layersPerStage === 2));
  const microbatches = pick([1, 2, 3, 5].filter((n) => repeats === 1 || n >= stages));
  return {
    random,
    stages,
    mesh: makeMesh({ data, stage: stages, context, model }),
    plain: modelOf(layers, family),
    piped: modelOf(layers, family, { stages, order, repeats }),
    shape: { batch: data * microbatches * pick([1, 2]), seq: 12 },
    microbatches,
  };
}

/** Compares a pipeline on a random mesh with the step of the plain model. Rows count unequal numbers of targets. */
function checkCase(seed: number, drawn: PipelineOrder): void {
  const { random, mesh, stages, plain, piped, shape, microbatches } = randomStages(seed, drawn);
  const zero = ([0, 1, 2, 3] as const)[random.integer(4)] ?? 0;
  const remat = random.integer(2) === 0 ? "none" : "full";
  const rules = defaultRules(mesh, piped.params);
  const parts = seqParts({ mesh: mesh.axes, rules });
  const chunks = 12 % parts === 0 && random.integer(2) === 0 ? { count: Math.min(3, 12 / parts), seqParts: parts } : undefined;
  const { order, repeats } = ensure(piped.pipeline, "pipeline");
  const what = `seed ${seed}, ${order}, ${repeats} repeats, ${microbatches} microbatches, ${printMesh(mesh)}, ZeRO ${zero}, ${remat}`;
  const whole = trainStep(plain, update, shape, checked);
  const inputs = randomInputs(whole, random);
  const expected = stack(piped, interpret(whole, inputs));
  const given = stack(piped, inputs);
  const graph = trainStep(piped, update, shape, { ...checked, microbatches, chunks });
  verifyGraph(graph);
  expectSame(interpret(graph, given), expected, what);
  const { chip } = compile(graph, compileOptions({ mesh: mesh.axes, rules, zero, remat }, graph));
  strictEqual(parseGraph(printGraph(chip)).values.length, chip.values.length);
  expectSame(runChips(chip, given), expected, `${what}, per chip`);
  const grid = makeWorkerGrid(mesh, 1 + random.integer(stages));
  expectSame(runHosts(lower(chip, grid), given), expected, `${what}, ${grid.workers} workers`);
}

interface ScheduleRow {
  readonly schedule: string;
  readonly S: number;
  readonly M: number;
  readonly v: number;
  readonly times: { readonly F: number; readonly B: number; readonly W: number };
  readonly total: number;
  readonly ideal: number;
  readonly stacked_values_alive?: number;
  readonly peak_in_flight_by_device: readonly number[];
}

/** Totals of the schedules of published papers, computed by another program. */
const schedules = (): ScheduleRow[] =>
  JSON.parse(readFileSync(new URL("../../../golden/schedules.json", import.meta.url), "utf8")) as ScheduleRow[];

const compiled = (stages: number, microbatches: number, order: PipelineOrder = "gpipe", repeats = 1): Graph => {
  const mesh = makeMesh({ data: 2, stage: stages });
  const model = modelOf(stages * repeats, {}, { stages, order, repeats });
  const graph = trainStep(model, update, { batch: 2 * microbatches, seq: 12 }, { microbatches });
  return compile(graph, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 0, remat: "none" }, graph)).chip;
};

/** The inputs of a stage that the ticks carry: the longest dim of ticks before [rows, T, D]. */
const keptInputs = ({ values }: Graph): number =>
  Math.max(...values.map(({ op, type }) => (op === "carry" && type.dims.length === 5 ? Math.max(...type.dims.slice(0, 2)) : 0)));

/** The parts of the ticks of a region that contain matmuls. */
const partsOfRegion = ({ values }: Graph, { id }: Region): Set<TickPart> =>
  new Set(
    values.flatMap(({ op, scope }) => (op === "dot_general" && scope.region?.id === id && scope.tick !== undefined ? [scope.tick] : [])),
  );

/** Matmuls of a region in a part of a tick. */
const matmuls = ({ values }: Graph, region: Region, part: TickPart): number =>
  values.filter(({ op, scope }) => op === "dot_general" && scope.region?.id === region.id && scope.tick === part).length;

describe("a pipeline", () => {
  const runs = Math.max(2, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 120));

  for (const order of pipelineOrders)
    it(`in the order ${order}, losses, logits, gradients and next states of ${runs} random meshes are those of the model without stages`, function () {
      this.timeout(0);
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed, order)),
        { numRuns: runs },
      );
    });

  it("in the order gpipe both passes have M + S − 1 ticks, whose only permutes are those of the state", () => {
    const chip = compiled(4, 6);
    strictEqual(
      regionsOf(chip)
        .map(({ count }) => count)
        .join(),
      "9,9",
    );
    const overStage = chip.values.filter(
      ({ op, attrs, scope }) => scope.region !== undefined && ops[op].communicates && "axes" in attrs && attrs.axes[0] === "stage",
    );
    const expected = ["all_gather", "all_gather", "collective_permute", "collective_permute", "reduce_scatter", "reduce_scatter"];
    deepStrictEqual(overStage.map(({ op }) => op).sort(), expected);
    const permutes = chip.values.filter(({ op }) => op === "collective_permute");
    strictEqual(permutes.map(({ attrs }) => ("by" in attrs ? attrs.by : 0)).join(), "1,-1");
    ok(
      permutes.every(({ type }) => type.dims[0] === 1),
      "a chip sends the state of its own stage",
    );
  });

  it("embedding and output projection are divided over the stages, so that no stage computes more of them than another", () => {
    const [S, M, V] = [4, 6, config.vocabSize];
    const chip = compiled(S, M);
    const logits = chip.values.filter(({ name, op }) => op === "dot_general" && name.endsWith("logits"));
    // 2 · M rows of 12 positions over 2 · S chips.
    strictEqual(logits.map(({ type }) => type.dims.reduce((a, b) => a * b, 1)).join(), `${(2 * M * 12 * V) / (2 * S)}`);
    // A tick embeds the positions of one microbatch: those of a chip are a part for each stage.
    deepStrictEqual(
      chip.values.flatMap(({ op, type }) => (op === "gather" ? [type.dims.slice(0, 2)] : [])),
      [[1, 12 / S]],
    );
  });

  it("the order 1f1b has the ticks of gpipe, and keeps the inputs of 2S − 1 ticks for any number of microbatches", () => {
    const chip = compiled(4, 6, "1f1b");
    strictEqual(
      regionsOf(chip)
        .map(({ count }) => count)
        .join(),
      "3,6,3",
    );
    strictEqual([4, 16].map((microbatches) => keptInputs(compiled(3, microbatches, "1f1b"))).join(), "5,5");
  });

  it("the order circular has the ticks of all repeats, and a program that repeats do not enlarge", () => {
    const [one, three] = [1, 3].map((repeats) => compiled(2, 4, "circular", repeats)) as [Graph, Graph];
    deepStrictEqual(
      [one, three].map((chip) => regionsOf(chip).map(({ count }) => count)),
      [
        [5, 5],
        [13, 13],
      ],
    );
    const [ofOne, ofThree] = [one, three].map((chip) => regionsOf(chip).map((region) => matmuls(chip, region, "backward")));
    deepStrictEqual(ofThree, ofOne);
  });

  it("the order zero_bubble computes each matmul of the backward pass once, and those of weights in ticks of all stages", () => {
    const [joint, apart] = [compiled(3, 4, "1f1b"), compiled(3, 4, "zero_bubble")];
    deepStrictEqual(
      regionsOf(apart).map(({ count, idle }) => ({ count, ...idle })),
      [
        { count: 2, forward: [0, 1, 2] },
        { count: 2, forward: [0, 0, 0], backward: [2, 1, 0] },
        { count: 2, forward: [2, 1, 0], backward: [0, 0, 0], weights: [0, 0, 0] },
        { count: 2, backward: [0, 1, 2], weights: [0, 0, 0] },
      ],
    );
    const steady = (graph: Graph): Region => ensure(regionsOf(graph).at(-2), "region with the loss");
    const of = (graph: Graph, part: TickPart): number => matmuls(graph, steady(graph), part);
    ok(of(apart, "weights") > 0);
    strictEqual(of(apart, "backward") + of(apart, "weights"), of(joint, "backward"));
    // One for each of the weights of a layer: q, k, v, o, gate, up, down.
    strictEqual(of(apart, "weights"), 7);
  });

  it("total, bubble and kept inputs are those of the table of schedules, in all orders", () => {
    const orders: Readonly<Record<string, PipelineOrder>> = {
      gpipe: "gpipe",
      lockstep_1f1b: "1f1b",
      circular: "circular",
      lockstep_zb: "zero_bubble",
    };
    const known = new Map<string, Graph>();
    for (const {
      schedule,
      S,
      M,
      v,
      times,
      total,
      ideal,
      stacked_values_alive: kept = M + S - 1,
      peak_in_flight_by_device: inFlight,
    } of schedules()) {
      const order = orders[schedule];
      if (order === undefined || M > 8 || v > 2) continue;
      const what = `${schedule} S ${S} M ${M} v ${v}`;
      const graph = known.get(what) ?? compiled(S, M, order, v);
      known.set(what, graph);
      const apart = order === "zero_bubble";
      const costs = { forward: times.F, backward: times.B + (apart ? 0 : times.W), weights: times.W };
      const sum = (of: (region: Region, part: TickPart) => number): number =>
        regionsOf(graph).reduce((n, region) => n + [...partsOfRegion(graph, region)].reduce((m, part) => m + of(region, part), 0), 0);
      strictEqual(
        sum((region, part) => region.count * costs[part]),
        total,
        what,
      );
      for (let stage = 0; stage < S; stage++) {
        const idle = sum((region, part) => (region.idle?.[part]?.[stage] ?? 0) * costs[part]);
        ok(Math.abs(idle - (total - ideal)) < 1e-9, `stage ${stage} idles ${idle} of ${what}`);
      }
      strictEqual(keptInputs(graph), kept, `kept inputs of ${what}`);
      deepStrictEqual(inFlightByStage({ stages: S, order, repeats: v }, M), inFlight, what);
    }
  });

  it("the size of the program does not depend on the number of microbatches", () => {
    strictEqual(compiled(2, 2).values.length, compiled(2, 8).values.length);
  });

  it("an evaluation in stages has the sums of the plain evaluation", () => {
    const shape = { batch: 6, seq: 12 };
    const whole = evalStep(modelOf(4, {}), shape);
    const inputs = randomInputs(whole, seededRandom(5));
    const piped = modelOf(4, {}, { stages: 2 });
    const given = stack(piped, inputs);
    expectSame(interpret(evalStep(piped, shape, { microbatches: 3 }), given), interpret(whole, inputs), "3 microbatches");
  });
});
