import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ArrayData, HfCheckpoint, readHfCheckpoint, readJson, readParam } from "@lapidary/interop";
import { type ModelConfig, paramsOf, storedTensors } from "@lapidary/models";
import { LapidaryError, ensure, nearestPath, type Warning } from "@lapidary/std";
import { z } from "zod";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { BundleFile, bundleError } from "./bundle-file.js";
import { shiftLabels } from "./shift-labels.js";

/** Number of optimizer steps in a bundle. */
const paritySteps = 5;

/**
 * A directory with the results of the reference (a class of transformers, f32, with torch's AdamW):
 *
 *     config.json  model.safetensors   the model before the first step
 *     batch         input_ids [5, B, T]: one batch a step
 *     forward       logits [B, T, V] of batch 0
 *     grads         of batch 0, by parameter
 *     params_step1  params_step5       after 1 and 5 steps
 *     sft           labels [B, T] for batch 0, -100 for positions without loss; loss [1]; grad.<parameter> of some
 *     manifest.json                    step_losses [5], adamw { lr, betas, eps, weight_decay }
 */
export interface ParityBundle {
  readonly directory: string;
  readonly config: ModelConfig;
  /** The warnings of the checkpoint. */
  readonly warnings: readonly Warning[];
  readonly batch: number;
  readonly seq: number;
  /** Constant learning rate, no clipping. */
  readonly update: UpdateConfig;
  readonly weights: ReadonlyMap<string, ArrayData>;
  /** The inputs of `trainStep` for each step. */
  readonly batches: readonly ParityBatch[];
  /** Batch 0 with the targets of fine-tuning. */
  readonly sft: ParityBatch;
  readonly expected: {
    readonly logits: ArrayData;
    readonly losses: readonly number[];
    readonly gradients: ReadonlyMap<string, ArrayData>;
    readonly paramsAfterFirst: ReadonlyMap<string, ArrayData>;
    readonly paramsAfterLast: ReadonlyMap<string, ArrayData>;
    readonly sftLoss: number;
    readonly sftGradients: ReadonlyMap<string, ArrayData>;
  };
}

export type ParityBatch = ReadonlyMap<"tokens" | "targets" | "mask", ArrayData>;

const manifestSchema = z.looseObject({
  step_losses: z.array(z.number()).length(paritySteps),
  adamw: z.looseObject({
    lr: z.number().positive(),
    betas: z.tuple([z.number(), z.number()]),
    eps: z.number().positive(),
    weight_decay: z.number().min(0),
  }),
});

/** @throws LapidaryError naming the file and the tensor or key that is missing or has another shape */
export async function readParityBundle(directory: string): Promise<ParityBundle> {
  if (!existsSync(join(directory, "config.json"))) throw missingBundleFile(directory, "config.json");
  if (!existsSync(join(directory, "manifest.json"))) {
    // Reports weights that are damaged or in another format. The headers are enough for this.
    await (await HfCheckpoint.open(directory, "headers")).close();
    throw missingBundleFile(directory, "manifest.json");
  }
  const { config, tensors: weights, warnings } = await readHfCheckpoint(directory);
  const manifest = await readManifest(join(directory, "manifest.json"));
  const file = (name: string): Promise<BundleFile> => BundleFile.read(directory, name);

  const params = paramsOf(config);
  const ids = (await file("batch.safetensors")).i32("input_ids");
  const [steps = 0, batch = 0, seq = 0] = ids.dims;
  if (ids.dims.length !== 3 || steps !== paritySteps || batch < 1 || seq < 2)
    throw bundleError(
      join(directory, "batch.safetensors"),
      "input_ids",
      `its dims are [${ids.dims.join(", ")}], not [${paritySteps}, batch, sequence of 2 or more]`,
    );
  const rows = (step: number): Int32Array => ids.data.subarray(step * batch * seq, (step + 1) * batch * seq);

  const sft = await file("sft.safetensors");
  const labels = sft.i32("labels", [batch, seq]);
  const perParam = async (name: string): Promise<ReadonlyMap<string, ArrayData>> => {
    const arrays = await file(name);
    return new Map(params.map((spec) => [spec.name, readParam(spec, (tensor, dims) => arrays.f32(tensor, dims))]));
  };
  const sftGradients = new Set(sft.names.filter((name) => name.startsWith("grad.")).map((name) => name.slice("grad.".length)));
  const unknown = [...sftGradients].find((name) => !params.flatMap(storedTensors).some((tensor) => tensor.name === name));
  if (unknown !== undefined) throw bundleError(sft.path, `grad.${unknown}`, "the model has no such parameter");
  return {
    directory,
    config,
    warnings,
    batch,
    seq,
    update: { steps: paritySteps, optimizer: { name: "adamw", ...manifest.adamw }, schedule: { name: "constant", warmup: 0 } },
    weights,
    batches: Array.from({ length: steps }, (_, step) => parityBatch(rows(step), rows(step), batch, seq)),
    sft: parityBatch(rows(0), labels.data, batch, seq),
    expected: {
      logits: (await file("forward.safetensors")).f32("logits", [batch, seq, config.vocabSize]),
      losses: manifest.step_losses,
      gradients: await perParam("grads.safetensors"),
      paramsAfterFirst: await perParam("params_step1.safetensors"),
      paramsAfterLast: await perParam(`params_step${paritySteps}.safetensors`),
      sftLoss: ensure(sft.f32("loss", [1]).data[0], "loss"),
      // A stack is compared if the bundle has the gradient of any of its slices: the others must be there too.
      sftGradients: new Map(
        params
          .filter((spec) => storedTensors(spec).some(({ name }) => sftGradients.has(name)))
          .map((spec) => [spec.name, readParam(spec, (tensor, dims) => sft.f32(`grad.${tensor}`, dims))]),
      ),
    },
  };
}

function parityBatch(tokens: Int32Array, labels: Int32Array, batch: number, seq: number): ParityBatch {
  const dims = [batch, seq];
  const { targets, mask } = shiftLabels({ dtype: "i32", dims, data: labels });
  return new Map<"tokens" | "targets" | "mask", ArrayData>([
    ["tokens", { dtype: "i32", dims, data: tokens }],
    ["targets", targets],
    ["mask", mask],
  ]);
}

async function readManifest(
  path: string,
): Promise<{ step_losses: number[]; adamw: { lr: number; betas: [number, number]; eps: number; weight_decay: number } }> {
  const parsed = manifestSchema.safeParse(await readJson(path));
  if (parsed.success) {
    const { lr, betas, eps, weight_decay } = parsed.data.adamw;
    return { step_losses: parsed.data.step_losses, adamw: { lr, betas, eps, weight_decay } };
  }
  const [issue] = parsed.error.issues;
  throw new LapidaryError({
    code: "LAP_PARITY_MANIFEST",
    message: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`,
    location: path,
  });
}

function missingBundleFile(directory: string, missing: string): LapidaryError {
  const near = nearestPath(directory, "/");
  return new LapidaryError({
    code: "LAP_CHECKPOINT_MISSING",
    message: `the directory is not a parity bundle: ${missing} is missing`,
    location: join(directory, missing),
    remedy: near === undefined ? "name the directory of a bundle, such as e2e/golden/mha" : `did you mean ${near}?`,
  });
}
