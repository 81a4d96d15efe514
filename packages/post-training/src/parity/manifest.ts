import { join } from "node:path";
import { readJson } from "@lapidary/interop";
import { loraTargets } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";

const number = z.number();
const mistakes = z.record(z.string(), number);
/** Loss before each of three updates on one batch, and after the last. */
const stepLosses = z.array(number).length(4);
const loss = { loss: number, grad_norm: number };

/** The scalars of a bundle: settings, results of the reference, and the results that known mistakes give. */
const manifestSchema = z.looseObject({
  batch: z.number().int().positive(),
  adamw: z.looseObject({ lr: number, betas: z.tuple([number, number]), eps: number, weight_decay: number }),
  sft: z.looseObject({ ...loss, tokens_counted: number, packed_loss: number, step_losses: stepLosses, mistakes }),
  reward: z.looseObject({
    ...loss,
    loss_with_margin: number,
    "loss_with_center_0.01": number,
    accuracy: number,
    step_losses: stepLosses,
    mistakes,
  }),
  dpo: z.looseObject({
    ...loss,
    beta: number,
    "loss_smoothed_0.1": number,
    ipo_loss: number,
    rewards_chosen: number,
    rewards_rejected: number,
    accuracy: number,
    step_losses: stepLosses,
    mistakes,
  }),
  rollout: z.looseObject({
    generations: z.number().int().min(2),
    temperature: number,
    truncated_rows: z.array(z.number().int()),
    entropy: number,
    kl_full: number,
    kl_k1: number,
    kl_k3: number,
    ratio_mean: number,
    mistakes,
  }),
  rloo: z.looseObject({
    ...loss,
    beta: number,
    clip: number,
    clip_fraction: number,
    on_policy_loss: number,
    on_policy_grad_norm: number,
    step_losses: stepLosses,
    mistakes,
  }),
  grpo: z.looseObject({
    ...loss,
    beta: number,
    clip: number,
    clip_low: number,
    clip_high: number,
    step_losses: stepLosses,
    variants: z.record(z.string(), z.looseObject(loss)),
    "clip_higher_0.28": number,
    max_completion: z.number().int().positive(),
    mistakes,
  }),
  ppo: z.looseObject({
    ...loss,
    policy_loss: number,
    value_loss: number,
    kl_coef: number,
    gamma: number,
    lambda: number,
    clip: number,
    clip_value: number,
    vf_coef: number,
    clip_fraction: number,
    value_clip_fraction: number,
  }),
  lora: z.looseObject({ ...loss, r: z.number().int().positive(), alpha: number, step_losses: stepLosses, merged_loss: number }),
  generation: z.looseObject({
    new_tokens: z.number().int().positive(),
    stop_token: z.number().int(),
    step: z.number().int().min(0),
    settings: z.looseObject({ temperature: number, top_k: z.number().int(), top_p: number }),
  }),
  tolerances: z.looseObject({
    "loss, step_losses, scores, values, advantages, returns": number,
    "log-probability of a token": number,
    "log-probability summed over a row": number,
    logits: number,
    "grads, relative L2 of each": number,
    "grad_norm, relative": number,
    "merged weights": number,
    "means of entropy, kl, ratio": number,
  }),
});
export type Manifest = z.infer<typeof manifestSchema>;

const adapterSchema = z.looseObject({
  r: z.number().int().positive(),
  lora_alpha: number,
  target_modules: z.array(z.enum(loraTargets)),
});

/** @throws LAP_PARITY_MANIFEST naming the file and the key */
async function readChecked<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LapidaryError({
    code: "LAP_PARITY_MANIFEST",
    message: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`,
    location: path,
  });
}

export const readManifest = (directory: string): Promise<Manifest> => readChecked(join(directory, "manifest.json"), manifestSchema);

export const readAdapterConfig = (directory: string): Promise<z.infer<typeof adapterSchema>> =>
  readChecked(join(directory, "adapter_config.json"), adapterSchema);
