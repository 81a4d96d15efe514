import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ArrayData, readHfCheckpoint, readParam } from "@lapidary/interop";
import { type ModelConfig, type LoraConfig, type Model, type ParamSpec, buildModel, loraParams } from "@lapidary/models";
import type { Warning } from "@lapidary/std";
import type { LossChunks, UpdateConfig } from "@lapidary/training";
import { scoreParams } from "../programs/score-model.js";
import { PostBundleFile } from "./bundle-file.js";
import { type ChatResults, type Manifest, manifestError, readAdapterConfig, readChatResults, readManifest } from "./manifest.js";

/**
 * A directory with the results of TRL, PEFT and transformers for every recipe of post-training:
 *
 *     config.json model.safetensors          the policy
 *     reference.safetensors                  the frozen reference
 *     reward.safetensors                     the reward model; also the value model
 *     sft reward_model dpo rollout           inputs and results, one file each
 *     rloo grpo ppo lora generation          results
 *     lora/                                  an adapter as PEFT writes it
 *     chat.json                              dialogues, and what the chat template makes of them
 *     manifest.json                          scalars and tolerances
 */
export interface PostBundle {
  readonly directory: string;
  readonly config: ModelConfig;
  readonly model: Model;
  readonly warnings: readonly Warning[];
  readonly manifest: Manifest;
  readonly chat: ChatResults;
  readonly update: UpdateConfig;
  /** The pieces in which losses over logits are computed. Absent: all logits at once. */
  readonly chunks?: LossChunks | undefined;
  /** Parts of a batch of fine-tuning whose gradients are added before the update; absent: the whole batch at once. */
  readonly microbatches?: number | undefined;
  readonly policy: ReadonlyMap<string, ArrayData>;
  readonly reference: ReadonlyMap<string, ArrayData>;
  readonly reward: ReadonlyMap<string, ArrayData>;
  readonly lora: { readonly config: LoraConfig; readonly weights: ReadonlyMap<string, ArrayData> };
  /** The safetensors files, by name without the ending. */
  readonly files: Readonly<Record<BundlePart, PostBundleFile>>;
}

const parts = ["sft", "reward_model", "dpo", "rollout", "rloo", "grpo", "ppo", "lora", "generation"] as const;
type BundlePart = (typeof parts)[number];

/** Whether a directory is a bundle of post-training, perhaps an incomplete one, as distinct from one of pretraining. */
export const isPostBundle = (directory: string): boolean =>
  [...parts.filter((part) => part !== "sft"), "reference", "reward"].some((name) => existsSync(join(directory, `${name}.safetensors`))) &&
  !existsSync(join(directory, "batch.safetensors"));

/** @throws LAP_PARITY_… and LAP_CHECKPOINT_… naming the file and the tensor or key */
export async function readPostBundle(directory: string): Promise<PostBundle> {
  const { config, tensors: policy, warnings } = await readHfCheckpoint(directory);
  const manifest = await readManifest(directory);
  const model = buildModel(config);
  const { lr, betas, eps, weight_decay } = manifest.adamw;
  const adapter = await readAdapterConfig(join(directory, "lora"));
  if (adapter.r !== manifest.lora.r || adapter.lora_alpha !== manifest.lora.alpha)
    throw manifestError(
      join(directory, "manifest.json"),
      `lora: r ${manifest.lora.r} and alpha ${manifest.lora.alpha} differ from r ${adapter.r} and alpha ${adapter.lora_alpha} of the adapter`,
    );
  const lora: LoraConfig = { rank: adapter.r, alpha: adapter.lora_alpha, targets: adapter.target_modules };
  return {
    directory,
    config,
    model,
    warnings,
    manifest,
    chat: await readChatResults(directory),
    update: { steps: 3, optimizer: { name: "adamw", lr, betas, eps, weight_decay }, schedule: { name: "constant", warmup: 0 } },
    policy,
    reference: await readParams(directory, "reference.safetensors", model.params),
    reward: await readParams(directory, "reward.safetensors", scoreParams(model)),
    lora: { config: lora, weights: await readParams(join(directory, "lora"), "adapter_model.safetensors", loraParams(model, lora)) },
    files: await readFiles(directory, manifest),
  };
}

async function readParams(directory: string, name: string, params: readonly ParamSpec[]): Promise<ReadonlyMap<string, ArrayData>> {
  const file = await PostBundleFile.read(directory, name);
  return new Map(params.map((spec) => [spec.name, readParam(spec, (tensor, dims) => file.f32(tensor, dims))]));
}

async function readFiles(directory: string, manifest: Manifest): Promise<Record<BundlePart, PostBundleFile>> {
  const files = Object.fromEntries(
    await Promise.all(parts.map(async (part) => [part, await PostBundleFile.read(directory, `${part}.safetensors`)] as const)),
  ) as Record<BundlePart, PostBundleFile>;
  const { sft, reward: reward_model, dpo, rloo, grpo, ppo, lora } = manifest;
  for (const [part, { loss }] of Object.entries({ sft, reward_model, dpo, rloo, grpo, ppo, lora }))
    files[part as BundlePart].requireScalar("loss", loss);
  files.sft.requireScalar("packed_loss", sft.packed_loss);
  return files;
}
