import { deepStrictEqual, ok } from "node:assert/strict";
import { compile, lower, type Program, summarizeCollectives } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { interpret, parseGraph, printGraph, verifyGraph } from "@lapidary/ir";
import { type BuildOptions, buildModel, type ModelConfig, modelConfigSchema } from "@lapidary/models";
import { type Random, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../job/default-rules.js";
import { compileOptions } from "../job/resolved-job.js";
import { config as gemma, expectSame, randomInputs, update } from "../testing/step-cases.js";
import { evalStep } from "./eval-step.js";
import { trainStep } from "./train-step.js";

const checked = { withGradients: true, withLogits: true };

const full = modelConfigSchema.parse({ ...gemma, heads: 4, kvHeads: 2 });
const windows = modelConfigSchema.parse({
  ...gemma,
  family: "gemma2",
  layers: 2,
  attentionCap: 3,
  window: 4,
  layerTypes: ["window", "full"],
});
const experts = modelConfigSchema.parse({
  ...gemma,
  family: "mixtral",
  mlpDim: 6,
  experts: { count: 2, perToken: 1, mlpDim: 6, auxWeight: 0.1 },
});

/** One way to compute a step whose positions are split, and a model that allows it. */
interface Form {
  readonly config: ModelConfig;
  readonly build: BuildOptions;
}

/** @param parts of a row */
function randomForm(random: Random, parts: number): Form {
  const ring = random.integer(2) === 0 ? { ringParts: parts } : {};
  const balance = random.integer(2) === 0 ? { balancedParts: parts } : {};
  const config = [full, windows, experts][random.integer(3)] ?? full;
  return { config, build: { ...ring, ...(config === windows ? {} : balance) } };
}

/** Compares a step in a random form on a random mesh with the step of the plain model. Rows count unequal numbers of targets. */
function checkCase(seed: number): void {
  const random = seededRandom(seed);
  const [context, data, model] = [2 + 2 * random.integer(2), 1 + random.integer(2), 1 + random.integer(2)];
  const mesh = makeMesh(random.integer(2) === 0 ? { data, context, model } : { context, model, data });
  const { config, build } = randomForm(random, context);
  const microbatches = 1 + random.integer(2);
  const shape = { batch: data * microbatches, seq: 16 };
  const zero = random.integer(4) as 0 | 1 | 2 | 3;
  const chunks = random.integer(2) === 0 ? undefined : { count: 2, seqParts: context };
  const what = `seed ${seed}, ${printMesh(mesh)}, ${JSON.stringify(build)}, ${config.family}, ${microbatches} microbatches, ZeRO ${zero}`;
  // With microbatches, the auxiliary loss is the mean over the parts.
  const graph = trainStep(buildModel(config, build), update, shape, { ...checked, chunks, microbatches });
  const plain = trainStep(buildModel(config), update, shape, { ...checked, ...(config === experts ? { microbatches } : {}) });
  const inputs = randomInputs(plain, random);
  const expected = interpret(plain, inputs);
  verifyGraph(graph);
  expectSame(interpret(graph, inputs), expected, what);
  const rules = defaultRules(mesh, buildModel(config).params);
  const options = compileOptions({ mesh: mesh.axes, rules, zero, remat: random.integer(2) === 0 ? "none" : "full" }, graph);
  const { chip } = compile(graph, { ...options, bucketBytes: 1024 });
  deepStrictEqual(parseGraph(printGraph(chip)).values.length, chip.values.length);
  expectSame(runChips(chip, inputs), expected, `${what}, per chip`);
  const grid = makeWorkerGrid(mesh, 1 + random.integer(4));
  expectSame(runHosts(lower(chip, grid), inputs), expected, `${what}, ${grid.workers} workers`);
}

/** The step of a model on 4 parts of a row. */
function program(config: ModelConfig, build: BuildOptions, seq = 32): Program {
  const mesh = makeMesh({ data: 2, context: 4 });
  const graph = trainStep(buildModel(config, build), update, { batch: 2, seq });
  return compile(
    graph,
    compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, buildModel(config).params), zero: 0, remat: "none" }, graph),
  );
}

/** Bytes that a chip sends in a step. */
const allBytes = ({ chip }: Program): number => summarizeCollectives(chip).reduce((sum, { bytes_per_chip }) => sum + bytes_per_chip, 0);

/** The collectives of the first layer, by kind and phase. */
function attentionCollectives({ chip }: Program): string[] {
  return chip.values
    .filter(({ op, scope }) => (op === "all_gather" || op === "collective_permute" || op === "reduce_scatter") && scope.block === 0)
    .map(({ op, scope, type }) => `${scope.phase} ${op} ${type.dims.join("x")}`);
}

describe("a step whose positions are split", () => {
  const runs = Math.max(6, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 40));

  it("with a ring, balanced rows or shifted windows, the steps of random meshes compute what the plain step computes", function () {
    this.timeout(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed)),
      { numRuns: runs },
    );
  });

  it("balanced rows send only tokens, targets and masks, and no positions", () => {
    const before = allBytes(program(full, {}));
    const rows = 3 * 4 * 32;
    ok(allBytes(program(full, { balancedParts: 4 })) - before <= rows, String(before));
  });

  it("an evaluation in a ring has the sums of the plain evaluation, and its rows keep their order", () => {
    const graph = evalStep(buildModel(full, { ringParts: 4, balancedParts: 4 }), { batch: 2, seq: 16 });
    const inputs = randomInputs(graph, seededRandom(3));
    expectSame(interpret(graph, inputs), interpret(evalStep(buildModel(full), { batch: 2, seq: 16 }), inputs), "evaluation");
  });

  it("a ring moves the blocks of keys and values n − 1 times, gathers none, and returns their gradients the same way", () => {
    const moved = attentionCollectives(program(full, { ringParts: 4 }));
    ok(!moved.some((each) => each.includes("all_gather")), moved.join());
    deepStrictEqual(moved.filter((each) => each.startsWith("forward collective_permute")).length, 2 * 3);
    deepStrictEqual(moved.filter((each) => each.startsWith("backward collective_permute")).length, 2 * 3);
  });

  it("a layer with a window of at most a block sends its last positions once for each of keys and values, and gathers none", () => {
    const config = modelConfigSchema.parse({ ...gemma, family: "mistral", window: 4 });
    const moved = attentionCollectives(program(config, {}));
    ok(!moved.some((each) => each.includes("all_gather")), moved.join());
    ok(
      moved.some((each) => each.startsWith("forward collective_permute")),
      moved.join(),
    );
  });
});
