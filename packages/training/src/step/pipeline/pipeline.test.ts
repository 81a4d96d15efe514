import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { compile, lower } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { type Graph, interpret, ops, parseGraph, printGraph, type Region, regionsOf, type Tensor, tensor, verifyGraph } from "@lapidary/ir";
import { buildModel, type Model, modelConfigSchema, type PipelineOrder } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, type Mesh, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../../job/default-rules.js";
import { seqParts } from "../../job/loss-chunks.js";
import { compileOptions } from "../../job/resolved-job.js";
import { config, expectSame, randomInputs, update } from "../../testing/step-cases.js";
import { evalStep } from "../eval-step.js";
import { trainStep } from "../train-step.js";

const checked = { withGradients: true, withLogits: true };
const families = [
  {},
  { family: "llama", tied: false },
  { family: "gemma3", window: 4, layerTypes: ["window", "full"], queryScalar: 4 },
] as const;

const modelOf = (layers: number, family: (typeof families)[number], stages?: number, order: PipelineOrder = "gpipe"): Model =>
  buildModel(modelConfigSchema.parse({ ...config, ...family, layers }), stages === undefined ? {} : { pipeline: { stages, order } });

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

function randomStages(seed: number): Case & { readonly random: ReturnType<typeof seededRandom> } {
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
  const layers = stages * pick([1, 2]);
  const family = pick(families.filter(({ family: name }: { readonly family?: string }) => name !== "gemma3" || layers / stages === 2));
  const microbatches = pick([1, 2, 3, 5]);
  return {
    random,
    stages,
    mesh: makeMesh({ data, stage: stages, context, model }),
    plain: modelOf(layers, family),
    piped: modelOf(layers, family, stages, pick(["gpipe", "1f1b"] as const)),
    shape: { batch: data * microbatches * pick([1, 2]), seq: 12 },
    microbatches,
  };
}

/** Compares a pipeline on a random mesh with the step of the plain model. Rows count unequal numbers of targets. */
function checkCase(seed: number): void {
  const { random, mesh, stages, plain, piped, shape, microbatches } = randomStages(seed);
  const zero = ([0, 1, 2, 3] as const)[random.integer(4)] ?? 0;
  const remat = random.integer(2) === 0 ? "none" : "full";
  const rules = defaultRules(mesh, piped.params);
  const parts = seqParts({ mesh: mesh.axes, rules });
  const chunks = 12 % parts === 0 && random.integer(2) === 0 ? { count: Math.min(3, 12 / parts), seqParts: parts } : undefined;
  const what = `seed ${seed}, ${piped.pipeline?.order}, ${microbatches} microbatches, ${printMesh(mesh)}, ZeRO ${zero}, ${remat}`;
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
  readonly times: { readonly F: number; readonly B: number; readonly W: number };
  readonly total: number;
  readonly ideal: number;
  readonly stacked_values_alive?: number;
}

/** Totals of the schedules of published papers, computed by another program. */
const schedules = (): ScheduleRow[] =>
  JSON.parse(readFileSync(new URL("../../../golden/schedules.json", import.meta.url), "utf8")) as ScheduleRow[];

const compiled = (stages: number, microbatches: number, order: PipelineOrder = "gpipe"): Graph => {
  const mesh = makeMesh({ data: 2, stage: stages });
  const model = modelOf(stages, {}, stages, order);
  const graph = trainStep(model, update, { batch: 2 * microbatches, seq: 12 }, { microbatches });
  return compile(graph, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 0, remat: "none" }, graph)).chip;
};

/** The inputs of a stage that the ticks carry: the longest dim of ticks before [rows, T, D]. */
const keptInputs = ({ values }: Graph): number =>
  Math.max(...values.map(({ op, type }) => (op === "carry" && type.dims.length === 5 ? Math.max(...type.dims.slice(0, 2)) : 0)));

describe("a pipeline", () => {
  const runs = Math.max(6, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 40));

  it("losses, logits, gradients and next states of random meshes are those of the model without stages", function () {
    this.timeout(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed)),
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

  it("total, bubble and kept inputs are those of the table of schedules, in both orders", () => {
    const orders: Readonly<Record<string, PipelineOrder>> = { gpipe: "gpipe", lockstep_1f1b: "1f1b" };
    for (const { schedule, S, M, times, total, ideal, stacked_values_alive: kept = M + S - 1 } of schedules()) {
      const order = orders[schedule];
      if (order === undefined || M > 8) continue;
      const what = `${schedule} S ${S} M ${M}`;
      const graph = compiled(S, M, order);
      const costs = [times.F, times.B + times.W];
      const cost = (region: Region): number =>
        ["to_next_stage", "to_stage_before"].reduce((sum, name, i) => {
          const runs = graph.values.some((value) => value.scope.region?.id === region.id && value.name.endsWith(name));
          return sum + (runs ? (costs[i] ?? 0) : 0);
        }, 0);
      const regions = regionsOf(graph);
      const sum = (of: (region: Region) => number): number => regions.reduce((n, region) => n + of(region), 0);
      strictEqual(
        sum((region) => region.count * cost(region)),
        total,
        what,
      );
      const bubble = sum((region) => (region.idle ?? 0) * cost(region));
      ok(Math.abs(bubble - (total - ideal)) < 1e-9, `bubble ${bubble} of ${what}`);
      strictEqual(keptInputs(graph), kept, `kept inputs of ${what}`);
    }
  });

  it("the size of the program does not depend on the number of microbatches", () => {
    strictEqual(compiled(2, 2).values.length, compiled(2, 8).values.length);
  });

  it("an evaluation in stages has the sums of the plain evaluation", () => {
    const shape = { batch: 6, seq: 12 };
    const whole = evalStep(modelOf(4, {}), shape);
    const inputs = randomInputs(whole, seededRandom(5));
    const piped = modelOf(4, {}, 2);
    const given = stack(piped, inputs);
    expectSame(interpret(evalStep(piped, shape, { microbatches: 3 }), given), interpret(whole, inputs), "3 microbatches");
  });
});
