import { z } from "zod";
import { fieldError, unsupportedError } from "../errors.js";

export type Fields = Readonly<Record<string, unknown>>;

/** A field that the server accepts only with values that have no effect. */
export interface InertField {
  readonly isInert: (value: unknown) => boolean;
  readonly reason: string;
}

const isZero = (value: unknown): boolean => value === 0;
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
const isFalse = (value: unknown): boolean => value === false;
const never = (): boolean => false;
/** The field has no effect on the text. */
const always = (): boolean => true;

const noPenalties = "the sampler has no penalties; omit it or write 0";
export const noTools = "the server has no tools";

/** Fields of both endpoints. Fields without effect on the text have any value. */
const inertFields: Readonly<Record<string, InertField>> = {
  user: { isInert: always, reason: "" },
  metadata: { isInert: always, reason: "" },
  frequency_penalty: { isInert: isZero, reason: noPenalties },
  presence_penalty: { isInert: isZero, reason: noPenalties },
  logit_bias: {
    isInert: (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0,
    reason: "the sampler has no biases; omit it or write {}",
  },
};

export const inertChatFields: Readonly<Record<string, InertField>> = {
  ...inertFields,
  safety_identifier: { isInert: always, reason: "" },
  prompt_cache_key: { isInert: always, reason: "" },
  service_tier: { isInert: always, reason: "" },
  parallel_tool_calls: { isInert: always, reason: "" },
  store: { isInert: isFalse, reason: "the server stores no answers" },
  tools: { isInert: isEmptyList, reason: noTools },
  tool_choice: { isInert: (value) => value === "none" || value === "auto", reason: noTools },
  functions: { isInert: isEmptyList, reason: noTools },
  function_call: { isInert: (value) => value === "none" || value === "auto", reason: noTools },
  response_format: { isInert: isTextFormat, reason: 'answers are text; omit it or write {"type": "text"}' },
  modalities: { isInert: (value) => Array.isArray(value) && value.every((each) => each === "text"), reason: "answers are text" },
  audio: { isInert: never, reason: "answers are text" },
  prediction: { isInert: never, reason: "the server has no predicted outputs" },
  reasoning_effort: { isInert: never, reason: "the model has no reasoning mode" },
  verbosity: { isInert: never, reason: "the model has no verbosity" },
  web_search_options: { isInert: never, reason: "the server has no search" },
};

export const inertCompletionFields: Readonly<Record<string, InertField>> = {
  ...inertFields,
  best_of: { isInert: (value) => value === 1, reason: "the server returns every text that it generates; use n" },
  suffix: { isInert: (value) => value === "", reason: "the model continues a text and fills no gaps" },
};

function isTextFormat(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 1 && (value as Fields).type === "text";
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Without fields that are null, which clients send for fields that are not set. */
const withoutNulls = (fields: Fields): Fields => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/**
 * The fields without those that have no effect.
 *
 * @param path of the object that has the fields, such as `messages.0.`
 * @throws LAP_SERVE_UNSUPPORTED for a value that would have an effect
 */
export function withoutInert(fields: Fields, inert: Readonly<Record<string, InertField>>, path = ""): Fields {
  const kept = Object.entries(withoutNulls(fields)).filter(([name, value]) => {
    const field = Object.hasOwn(inert, name) ? inert[name] : undefined;
    if (field?.isInert(value) === false) throw unsupportedError(`${path}${name}`, field.reason);
    return field === undefined;
  });
  return Object.fromEntries(kept);
}

/** @throws LAP_SERVE_UNSUPPORTED for an unknown field, LAP_HTTP_REQUEST for an invalid value */
export function readFields<T extends z.ZodType>(schema: T, fields: unknown): z.output<T> {
  const { success, data, error } = schema.safeParse(fields);
  if (success) return data;
  const issue = error.issues[0];
  const path = (issue?.path ?? []).map(String);
  if (issue?.code === "unrecognized_keys") throw unsupportedError([...path, issue.keys[0] ?? ""].join(".").slice(0, 120));
  throw fieldError(path.join("."), issue?.message ?? "unknown issue");
}

export const maxChoices = 128;

const stopText = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => !/\p{Surrogate}/u.test(text), "expected text without lone surrogates");

/** Fields of both endpoints that have an effect. */
export const commonFields = {
  model: z.string(),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().default(false), include_obfuscation: z.literal(false).optional() })
    .default({ include_usage: false }),
  n: z.int().min(1).max(maxChoices).default(1),
  max_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().min(0).max(1).default(1),
  top_k: z.int().min(1).optional(),
  seed: z.int().optional(),
  stop: z
    .union([stopText.transform((text) => [text]), z.array(stopText).max(4)], {
      error: "expected a string of 1 to 1024 characters, or a list of at most 4",
    })
    .default([]),
};
