import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ArrayData, f32Array, HfCheckpoint, readSafetensors } from "@lapidary/interop";
import { buildModel, isDecoder, type LoraConfig, loraName, loraTargets, loraWeights, type ModelConfig } from "@lapidary/models";
import { ensure, LapidaryError, type Warning } from "@lapidary/std";
import { z } from "zod";

/** What PEFT's description of an adapter must have, so that its change is alpha / r · B·A. */
const adapterSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  base_model_name_or_path: z.string().min(1),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  target_modules: z.array(z.enum(loraTargets)),
  use_rslora: z.literal(false).optional(),
  use_dora: z.literal(false).optional(),
});

/** A model whose weights contain the change of an adapter. */
export interface MergedModel {
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, ArrayData>;
  /** The directory of the weights under the adapter. */
  readonly base: string;
  readonly warnings: readonly Warning[];
}

/**
 * Adds an adapter to the weights under it: W + alpha / r · B·A (Hu et al. 2021), summed in doubles and rounded once.
 *
 * @param directory with `adapter_config.json` and `adapter_model.safetensors`
 * @throws LAP_CHECKPOINT_FORM for another kind of adapter; LAP_CHECKPOINT_… if the weights or the adapter cannot be read
 */
export async function mergeAdapter(directory: string): Promise<MergedModel> {
  const { base, lora } = readAdapterConfig(join(directory, "adapter_config.json"));
  const checkpoint = await HfCheckpoint.open(base, "contents");
  try {
    const { config, params, warnings } = checkpoint;
    if (isDecoder(config)) throw refused(directory, "the family of the model under the adapter has no adapters");
    const matrices = await readSafetensors(join(directory, "adapter_model.safetensors"));
    const changed = new Set(loraWeights(buildModel(config), lora).map(({ name }) => name));
    const tensors = new Map<string, ArrayData>();
    for (const { name } of params) {
      const weight = await checkpoint.read(name);
      const [a, b] = [matrices.get(loraName(name, "A")), matrices.get(loraName(name, "B"))];
      if (changed.has(name) && (a === undefined || b === undefined)) throw refused(directory, `the adapter lacks the matrices of ${name}`);
      tensors.set(name, changed.has(name) ? merged(weight, ensure(a, "A"), ensure(b, "B"), lora.alpha / lora.rank) : weight);
    }
    return { config, tensors, base, warnings };
  } finally {
    await checkpoint.close();
  }
}

function readAdapterConfig(path: string): { readonly base: string; readonly lora: LoraConfig } {
  const parsed = adapterSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
  const [issue] = parsed.error?.issues ?? [];
  if (!parsed.success) throw refused(path, `${issue?.path.join(".") ?? "the description"}: ${issue?.message ?? "invalid"}`);
  const { base_model_name_or_path: base, r: rank, lora_alpha: alpha, target_modules: targets } = parsed.data;
  return { base, lora: { rank, alpha, targets } };
}

const refused = (location: string, message: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CHECKPOINT_FORM",
    message: `the adapter cannot be merged: ${message}`,
    location,
    remedy: "merge it with PEFT: model.merge_and_unload()",
  });

/** `weight` [out, in] + scale · `b` [out, r] · `a` [r, in]. */
function merged(weight: ArrayData, a: ArrayData, b: ArrayData, scale: number): ArrayData {
  const [out = 0, width = 0] = weight.dims;
  const rank = ensure(a.dims[0], "rank");
  const data = new Float32Array(weight.data.length);
  const row = new Float64Array(width);
  for (let o = 0; o < out; o++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = scale * ensure(b.data[o * rank + r], "B");
      for (let i = 0; i < width; i++) row[i] = ensure(row[i], "row") + factor * ensure(a.data[r * width + i], "A");
    }
    for (let i = 0; i < width; i++) data[o * width + i] = ensure(weight.data[o * width + i], "W") + ensure(row[i], "row");
  }
  return f32Array(weight.dims, data);
}
