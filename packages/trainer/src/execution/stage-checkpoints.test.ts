import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointStore, nodeDisk, RunFence, type VerifiedCheckpoint } from "@lapidary/checkpoint";
import { readHfCheckpoint } from "@lapidary/interop";
import { replicated } from "@lapidary/ir";
import { buildModel, type PipelineShape } from "@lapidary/models";
import { tinyGemma } from "@lapidary/models/testing";
import { type ArrayData, handleOf, type TensorSpec } from "@lapidary/protocol";
import { ensure, seededRandom } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { filesOfTrained, trainTokenizer } from "@lapidary/tokenizer";
import { type StateSpec, trainState } from "@lapidary/training";
import { checkpointOf, loadState, staticFiles } from "./checkpoint-contents.js";
import type { CheckpointForm } from "./checkpoint-form.js";
import { momentsOf } from "./run-programs.js";
import { Staging } from "./staging.js";
import { stateFilesOf } from "./state-files.js";

const config = { ...tinyGemma, vocabSize: 300, layers: 4 };
const optimizer = { name: "adamw", lr: 1, betas: [0.9, 0.95] as [number, number], eps: 1e-8, weight_decay: 0 } as const;
const about = { run: "r", time: 1, heldout_loss: 2, mesh: "stage=2", zero: 3, workers: 2, program: "p", ledger: "d" };
type States = Map<string, ArrayData>;

/** Stages, or stages with repeats such as `2x2`. */
type Layout = number | `${number}x${number}`;

function shapeOf(layout: Layout): PipelineShape | undefined {
  const [stages = 1, repeats = 1] = String(layout).split("x").map(Number);
  return stages === 1 ? undefined : { stages, repeats, order: repeats === 1 ? "gpipe" : "circular" };
}

const statesOf = (layout: Layout): StateSpec[] => trainState(buildModel(config, { pipeline: shapeOf(layout) }), optimizer);
const formOf = (layout: Layout): CheckpointForm => ({ kind: "model", config, pipeline: shapeOf(layout) });

/** A run on a number of stages that has these arrays. */
class Programs {
  readonly moments;

  constructor(
    readonly stages: Layout,
    readonly states: States = new Map(),
  ) {
    this.moments = momentsOf(statesOf(stages));
  }

  state = (name: string): TensorSpec => {
    const { dims } = ensure(
      statesOf(this.stages).find((spec) => spec.name === name),
      name,
    );
    return { id: handleOf(name), dtype: "f32", dims, sharding: replicated(dims.length) };
  };
  fetchState = async ({ id }: TensorSpec): Promise<ArrayData> => ensure(this.states.get(id), id);
  putState = async (name: string, array: ArrayData): Promise<void> => void this.states.set(name, array);
  openStagingBuffer = async (): Promise<boolean> => false;
  stage = (): Promise<never> => Promise.reject(new Error("no image is open"));
}

describe("checkpoints of a pipeline", () => {
  const directory = temporaryDirectory();
  const tokenizer = trainTokenizer(["some text to learn a few pieces from"], { vocabSize: 300 });
  let step = 0;

  const write = async (stages: Layout, states: States): Promise<VerifiedCheckpoint> => {
    const store = new CheckpointStore({ disk: nodeDisk, directory: directory(), fence: RunFence.claim(nodeDisk, directory()) });
    const programs = new Programs(stages, states);
    const { files } = await (await Staging.open(programs, stateFilesOf(formOf(stages), programs))).capture();
    const fixed = staticFiles(formOf(stages), filesOfTrained(tokenizer), tokenizer.control);
    return store.write(checkpointOf(files, fixed, { ...about, step: ++step }), 9);
  };
  const read = async (stages: Layout, checkpoint: VerifiedCheckpoint): Promise<States> => {
    const programs = new Programs(stages);
    await loadState(programs, formOf(stages), checkpoint);
    return programs.states;
  };
  const drawn = (stages: Layout): States => {
    const random = seededRandom(1);
    return new Map(
      statesOf(stages).map(({ name, dims }): [string, ArrayData] => {
        const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.next());
        return [name, { dtype: "f32", dims, data }];
      }),
    );
  };

  it("a checkpoint of 2 stages that 4 stages and 1 stage read and write is that of 2 stages again, bit for bit", async () => {
    const first = await write(2, drawn(2));
    const inFour = await read(4, first);
    const inOne = await read(1, await write(4, inFour));
    const last = await write(2, await read(2, await write(1, inOne)));
    for (const file of ["model.safetensors", "optimizer.safetensors"])
      deepStrictEqual(readFileSync(join(last.path, file)), readFileSync(join(first.path, file)), file);
  });

  it("a checkpoint of 2 stages with 2 repeats that 2, 4 and 1 stages read and write is that of the repeats again, bit for bit", async () => {
    const first = await write("2x2", drawn("2x2"));
    const inTwo = await write(2, await read(2, first));
    const inFour = await write(4, await read(4, inTwo));
    const last = await write("2x2", await read("2x2", await write(1, await read(1, inFour))));
    for (const file of ["model.safetensors", "optimizer.safetensors"])
      deepStrictEqual(readFileSync(join(last.path, file)), readFileSync(join(first.path, file)), file);
    // Layer 2 is in the second repeat of the first stage, and so is the second slice of its stack.
    const [stack, plain] = [await read("2x2", first), await read(1, first)];
    const [layers, layer] = [
      ensure(stack.get("params/model.stages.layers.0.mlp.up_proj.weight"), "stack"),
      ensure(plain.get("params/model.layers.2.mlp.up_proj.weight"), "layer"),
    ];
    deepStrictEqual([...layers.dims], [2, 2, ...layer.dims]);
    deepStrictEqual(layers.data.slice(layer.data.length, 2 * layer.data.length), layer.data);
  });

  it("the files have the arrays of the layers under their Hugging Face names", async () => {
    const states = drawn(2);
    const { tensors } = await readHfCheckpoint((await write(2, states)).path);
    ok(tensors.has("model.layers.3.mlp.up_proj.weight") && ![...tensors.keys()].some((name) => name.includes("stages")));
    const stack = ensure(states.get("params/model.stages.layers.1.mlp.up_proj.weight"), "second layers of the stages");
    const layer = ensure(tensors.get("model.layers.3.mlp.up_proj.weight"), "layer 3");
    strictEqual(stack.data.length, 2 * layer.data.length);
    deepStrictEqual(layer.data, stack.data.slice(layer.data.length));
  });
});
