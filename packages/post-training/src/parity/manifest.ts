import { join } from "node:path";
import { readJson } from "@lapidary/interop";
import { loraTargets } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";

const number = z.number();
const mistakes = z.record(z.string(), number);
const count = z.number().int().positive();
const id = z.number().int().min(0);
/** Loss before each of three updates on one batch, and after the last. */
const stepLosses = z.array(number).length(4);
const loss = { loss: number, grad_norm: number.positive() };

/** Variants of GRPO. */
export const grpoVariantNames = ["bnpo", "dapo", "dr_grpo", "kl_weighted_by_ratio", "without_truncated", "dapo_without_truncated"] as const;
export type GrpoVariantName = (typeof grpoVariantNames)[number];

/** The numbers whose key is `prefix` and a setting, such as `clip_higher_0.28`. */
export const bySetting = (values: Readonly<Record<string, unknown>>, prefix: string): [key: string, setting: number, value: number][] =>
  Object.entries(values).flatMap(([key, value]): [string, number, number][] => {
    const setting = key.startsWith(prefix) ? Number(key.slice(prefix.length) || Number.NaN) : Number.NaN;
    return Number.isFinite(setting) && typeof value === "number" ? [[key, setting, value]] : [];
  });

/** An object with at least one number whose key is `prefix` and a setting. */
const withSetting = <T extends Readonly<Record<string, unknown>>>(schema: z.ZodType<T>, prefix: string): z.ZodType<T> =>
  schema.refine((values) => bySetting(values, prefix).length > 0, { error: `a key ${prefix}<setting> with a number is missing` });

export const centerPrefix = "loss_with_center_";
export const smoothedPrefix = "loss_smoothed_";
export const clipHigherPrefix = "clip_higher_";

/** The scalars of a bundle: settings, results of the reference, and the results that known mistakes give. */
const manifestSchema = z.looseObject({
  /** Ids of the byte tokenizer: byte b has the id `first_byte` + b. */
  tokens: z.looseObject({ pad: id, eos: id, bos: id, unk: id, first_byte: id, start_of_turn: id, end_of_turn: id }),
  adamw: z.looseObject({ lr: number, betas: z.tuple([number, number]), eps: number, weight_decay: number }),
  sft: z.looseObject({ ...loss, tokens_counted: number, packed_loss: number, step_losses: stepLosses, mistakes }),
  reward: withSetting(
    z.looseObject({ ...loss, loss_with_margin: number, accuracy: number, step_losses: stepLosses, mistakes }),
    centerPrefix,
  ),
  dpo: withSetting(
    z.looseObject({
      ...loss,
      beta: number.positive(),
      ipo_loss: number,
      rewards_chosen: number,
      rewards_rejected: number,
      accuracy: number,
      step_losses: stepLosses,
      mistakes,
    }),
    smoothedPrefix,
  ),
  rollout: z.looseObject({
    generations: z.number().int().min(2),
    temperature: number.positive(),
    truncated_rows: z.array(id),
    entropy: number,
    kl_full: number,
    kl_k1: number,
    kl_k3: number,
    ratio_mean: number,
    mistakes: z.looseObject({ logps_mean: number, logps_without_temperature_mean: number }),
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
  grpo: withSetting(
    z.looseObject({
      ...loss,
      beta: number,
      clip: number,
      clip_low: number,
      clip_high: number,
      step_losses: stepLosses,
      variants: z.record(z.enum(grpoVariantNames), z.looseObject(loss)),
      max_completion: count,
      mistakes,
    }),
    clipHigherPrefix,
  ),
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
  lora: z.looseObject({ ...loss, r: count, alpha: number, step_losses: stepLosses, merged_loss: number }),
  generation: z
    .looseObject({
      new_tokens: count,
      stop_token: id,
      step: id,
      settings: z.looseObject({ temperature: number.positive(), top_k: count, top_p: number.positive().max(1) }),
    })
    .refine(({ new_tokens, step }) => step < new_tokens, { error: "expected less than new_tokens", path: ["step"] }),
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

/** Forms of PEFT that change the formula of an adapter are refused. */
const off = z.literal(false).nullish();
const adapterSchema = z.looseObject({
  r: count,
  lora_alpha: number,
  target_modules: z.array(z.enum(loraTargets)).min(1),
  use_rslora: off,
  use_dora: off,
  lora_bias: off,
  fan_in_fan_out: off,
  bias: z.literal("none").nullish(),
});

const messages = z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1);
const ids = z.array(id);
/** Results of the chat template. */
const chatSchema = z.looseObject({
  cases: z
    .array(
      z.looseObject({
        messages,
        add_generation_prompt: z.boolean().optional(),
        text: z.string(),
        ids,
        mask: z.array(z.literal([0, 1])),
      }),
    )
    .min(1),
  /** Dialogues that the template must refuse. */
  refused: z.array(messages),
  /** A prompt in Gemma's own vocabulary. */
  gemma_vocabulary: z.looseObject({ text: z.string(), ids }),
});
export type ChatResults = z.infer<typeof chatSchema>;

export const manifestError = (path: string, message: string): LapidaryError =>
  new LapidaryError({ code: "LAP_PARITY_MANIFEST", message, location: path });

/** @throws LAP_PARITY_MANIFEST naming the file and the key */
async function readChecked<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw manifestError(path, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

export const readManifest = (directory: string): Promise<Manifest> => readChecked(join(directory, "manifest.json"), manifestSchema);

export const readChatResults = (directory: string): Promise<ChatResults> => readChecked(join(directory, "chat.json"), chatSchema);

export const readAdapterConfig = (directory: string): Promise<z.infer<typeof adapterSchema>> =>
  readChecked(join(directory, "adapter_config.json"), adapterSchema);
