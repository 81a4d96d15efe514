import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile } from "@lapidary/compiler";
import { openDevice, type StackedProgram, stackedExecutor } from "@lapidary/executor";
import { buildModel, modelConfigSchema } from "@lapidary/models";
import { workerRank } from "@lapidary/protocol";
import { systemClock } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { buildOptionsOf, compileOptions, defaultRules, trainStep } from "@lapidary/training";

/** A step of a Llama or of a mixture, on one worker. */
interface Layout {
  readonly axes: Readonly<Record<string, number>>;
  readonly layers: number;
  readonly experts?: true;
}

const optimizer = { name: "sgd", lr: 0.1, weight_decay: 0 } as const;

describe("kernel calls of a step", function () {
  this.timeout(120_000);
  let device: Awaited<ReturnType<typeof openDevice>>;
  before(async () => {
    device = await openDevice();
  });

  /** Kernel calls of the program; the ticks of a pipeline are one region, which counts once. */
  function calls({ axes, layers, experts }: Layout): number {
    const config = modelConfigSchema.parse({
      ...{ family: experts ? "mixtral" : "llama", layers, vocabSize: 32, modelDim: 16, heads: 8, kvHeads: 4, headDim: 4, mlpDim: 16 },
      contextLength: 16,
      ...(experts ? { experts: { count: 4, perToken: 2, mlpDim: 16 } } : {}),
    });
    const mesh = makeMesh(axes);
    const plain = buildModel(config);
    const rules = defaultRules(mesh, plain.params);
    const model = buildModel(
      config,
      buildOptionsOf({ mesh: mesh.axes, rules, model: { config }, ...(experts ? { moe: { dispatch: "dropless" } } : {}) }),
    );
    const microbatches = axes["stage"] === undefined ? 1 : 4;
    const update = { steps: 1, optimizer, schedule: { name: "constant", warmup: 0 } } as const;
    const step = trainStep(model, update, { batch: 16, seq: 16 }, { microbatches });
    const { chip } = compile(step, compileOptions({ mesh: mesh.axes, rules, zero: 3 }, step));
    const grid = makeWorkerGrid(mesh, 1);
    const executor = stackedExecutor({ device, mesh, grid, worker: workerRank(0), peers: undefined, numerics: "f32", clock: systemClock });
    const program = executor.load(executor.prepare(chip)) as StackedProgram;
    const planned = program.plannedKernels;
    program.dispose();
    return planned;
  }

  it("a pipeline on 256 chips has the calls of one on 16 chips", () => {
    const few = calls({ axes: { data: 2, stage: 4, context: 2 }, layers: 4 });
    ok(few > 50);
    strictEqual(calls({ axes: { data: 4, stage: 4, context: 4, model: 4 }, layers: 4 }), few);
  });

  it("stages of one shape are one batched matmul: four stages have the calls of two", () => {
    const [two, four, twice] = [
      calls({ axes: { data: 2, stage: 2 }, layers: 2 }),
      calls({ axes: { data: 2, stage: 4 }, layers: 4 }),
      calls({ axes: { data: 2, stage: 2 }, layers: 4 }),
    ];
    deepStrictEqual(four, two);
    // A second layer of a stage has calls of its own.
    ok(twice > two + 20, `${twice} calls for two layers a stage, ${two} for one`);
  });

  it("experts without a capacity have the same calls on 64 chips as on 8", () => {
    const few = calls({ axes: { data: 2, expert: 4 }, layers: 1, experts: true });
    strictEqual(calls({ axes: { data: 4, expert: 4, model: 4 }, layers: 1, experts: true }), few);
  });
});
