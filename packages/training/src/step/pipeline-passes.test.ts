import { ok, strictEqual } from "node:assert/strict";
import { compile, lower } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { type Graph, interpret, parseGraph, printGraph, regionsOf, type Tensor, tensor, verifyGraph } from "@lapidary/ir";
import { buildModel, type Model, modelConfigSchema } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, type Mesh, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../job/default-rules.js";
import { seqParts } from "../job/loss-chunks.js";
import { compileOptions } from "../job/resolved-job.js";
import { config, expectSame, randomInputs, update } from "../testing/step-cases.js";
import { evalStep } from "./eval-step.js";
import { trainStep } from "./train-step.js";

const checked = { withGradients: true, withLogits: true };
const families = [
  {},
  { family: "llama", tied: false },
  { family: "gemma3", window: 4, layerTypes: ["window", "full"], queryScalar: 4 },
] as const;

const modelOf = (layers: number, family: (typeof families)[number], stages?: number): Model =>
  buildModel(modelConfigSchema.parse({ ...config, ...family, layers }), stages === undefined ? {} : { pipeline: { stages } });

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
    piped: modelOf(layers, family, stages),
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
  const what = `seed ${seed}, ${microbatches} microbatches, ${printMesh(mesh)}, ZeRO ${zero}, ${remat}`;
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

const compiled = (stages: number, microbatches: number): Graph => {
  const mesh = makeMesh({ data: 2, stage: stages });
  const model = modelOf(stages, {}, stages);
  const graph = trainStep(model, update, { batch: 2 * microbatches, seq: 12 }, { microbatches });
  return compile(graph, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 0, remat: "none" }, graph)).chip;
};

describe("a pipeline in the order gpipe", () => {
  const runs = Math.max(6, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 40));

  it(`losses, logits, gradients and next states of ${runs} random meshes are those of the model without stages`, function () {
    this.timeout(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed)),
      { numRuns: runs },
    );
  });

  it("both passes have M + S − 1 ticks, whose only permutes are those of the state", () => {
    const chip = compiled(4, 6);
    strictEqual(
      regionsOf(chip)
        .map(({ count }) => count)
        .join(),
      "9,9",
    );
    const permutes = chip.values.filter(({ op }) => op === "collective_permute");
    strictEqual(permutes.map(({ attrs }) => ("by" in attrs ? attrs.by : 0)).join(), "1,-1");
    ok(
      permutes.every(({ type }) => type.dims[0] === 1),
      "a chip sends the state of its own stage",
    );
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
