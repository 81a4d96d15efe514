import { compile, type LogicalAxisRules, type Program } from "@lapidary/compiler";
import {
  type ArrayData,
  f32Array,
  modelConfigToHf,
  i32Array,
  jaxVersion,
  orbaxVersion,
  writeXlaExport,
  type XlaState,
} from "@lapidary/interop";
import { type BuildOptions, buildModel } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { meshSize, parseMesh } from "@lapidary/topology";
import { type ParityBundle, readParityBundle, trainState, trainStep } from "@lapidary/training";
import { golden } from "./golden.js";

/** A golden run of PyTorch, sharded over a mesh. */
export interface GoldenCase {
  readonly bundle: string;
  readonly mesh: string;
  readonly rules: LogicalAxisRules;
  readonly microbatches?: number;
  readonly build?: BuildOptions;
}

const tensor = { batch: "data", heads: "model", kv_heads: "model", mlp: "model", vocab: "model" };

/** The shardings that test the export, on 8 and on 256 devices; all with ZeRO-3 over `data`. */
export const goldenCases = {
  "data=2,model=4 ZeRO-3": { bundle: "mha", mesh: "data=2,model=4", rules: tensor },
  "data=2 ZeRO-3": { bundle: "mqa", mesh: "data=2", rules: { batch: "data" } },
  "4 microbatches on 8": { bundle: "pod16x16", mesh: "data=4,model=2", rules: tensor, microbatches: 4 },
  "tensor + sequence on 8": { bundle: "mha", mesh: "data=2,model=4", rules: { ...tensor, activation_seq: "model" } },
  "balanced ring on 8": {
    bundle: "mha",
    mesh: "data=2,context=4",
    rules: { batch: "data", seq: "context", activation_seq: "context" },
    build: { ringParts: 4, balancedParts: 4 },
  },
  "experts without a capacity on 8": {
    bundle: "families/mixtral",
    mesh: "data=2,expert=4",
    rules: { batch: ["data", "expert"], experts: "expert", expert_batch: "data" },
    build: { dispatch: { kind: "dropless", parts: 4, imbalance: 1 } },
  },
  "two pods of 1x4": { bundle: "mha", mesh: "pod=2,data=1,model=4", rules: { ...tensor, batch: ["pod", "data"] } },
  "data=16,model=16 ZeRO-3": { bundle: "pod16x16", mesh: "data=16,model=16", rules: tensor },
  "data=256 ZeRO-3": { bundle: "data256", mesh: "data=256", rules: { batch: "data" } },
  "tensor + sequence": { bundle: "pod16x16", mesh: "data=16,model=16", rules: { ...tensor, activation_seq: "model" } },
  "two pods of 8x16": { bundle: "pod16x16", mesh: "pod=2,data=8,model=16", rules: { ...tensor, batch: ["pod", "data"] } },
} as const satisfies Record<string, GoldenCase>;

/** Cases whose training on XLA repeats claims of other tests: only a release trains them. Random graphs have the ops of experts too. */
export const releaseCases: readonly (keyof typeof goldenCases)[] = [
  "data=256 ZeRO-3",
  "tensor + sequence",
  "two pods of 8x16",
  "experts without a capacity on 8",
];

export async function compileGolden({
  bundle: name,
  mesh,
  rules,
  microbatches,
  build,
}: GoldenCase): Promise<{ bundle: ParityBundle; program: Program }> {
  const bundle = await readParityBundle(golden(name));
  const { config, update, batch, seq } = bundle;
  const graph = trainStep(buildModel(config, build), update, { batch, seq }, { microbatches });
  return { bundle, program: compile(graph, { mesh: parseMesh(mesh), rules, zero: { stage: 3, axes: ["data"] } }) };
}

/** Writes the export of a golden run. @returns PyTorch's losses */
export async function exportGolden(directory: string, golden: GoldenCase): Promise<readonly number[]> {
  const { bundle, program } = await compileGolden(golden);
  const { config, update, batches, weights, expected } = bundle;
  const states = trainState(buildModel(config), update.optimizer).map(({ name, role, weight = "" }): [string, XlaState] => [
    name,
    role === "param" ? { kind: "array", array: ensure(weights.get(weight), name) } : { kind: "zeros" },
  ]);
  await writeXlaExport(directory, {
    program,
    name: golden.bundle,
    numerics: "f32",
    dcnAxes: [],
    steps: batches.length,
    states: new Map(states),
    initialState: "values",
    data: {
      kind: "batches",
      steps: batches.length,
      arrays: new Map(
        (["tokens", "targets", "mask"] as const).map((name) => [name, stacked(batches.map((batch) => ensure(batch.get(name), name)))]),
      ),
    },
    model: modelConfigToHf(config),
    modelFiles: new Map(),
    compileFiles: new Map(),
    launch: {
      name: golden.bundle,
      slices: 1,
      topology: "16x16",
      chipsPerSlice: meshSize(program.mesh),
      jaxVersion,
      orbaxVersion,
      checkpointEvery: 100,
    },
  });
  return expected.losses;
}

/** Stacks arrays of one shape into one array. The index of the array is the first dim. */
function stacked(arrays: readonly ArrayData[]): ArrayData {
  const first = ensure(arrays[0], "array");
  const data = arrays.flatMap((array) => [...array.data]);
  return (first.dtype === "i32" ? i32Array : f32Array)([arrays.length, ...first.dims], data);
}
