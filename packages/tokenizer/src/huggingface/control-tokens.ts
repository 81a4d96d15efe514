import { z } from "zod";
import { badTokenizer, unsupportedTokenizer } from "../tokenizer-errors.js";
import type { ControlTokens } from "../text-tokenizer.js";
import type { Template } from "./post-processor.js";

/** Parsed files of a checkpoint that define control tokens. A file that the checkpoint lacks is absent. */
export interface ControlFiles {
  readonly "tokenizer_config.json"?: unknown;
  readonly "special_tokens_map.json"?: unknown;
  readonly "config.json"?: unknown;
  readonly "generation_config.json"?: unknown;
}

const tokenSchema = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish()
  .catch(undefined);
const namesSchema = z
  .looseObject({
    bos_token: tokenSchema,
    eos_token: tokenSchema,
    pad_token: tokenSchema,
    add_bos_token: z.boolean().nullish().catch(undefined),
    add_eos_token: z.boolean().nullish().catch(undefined),
  })
  .catch({});
const idsSchema = z
  .union([z.number().transform((id) => [id]), z.array(z.number())])
  .nullish()
  .catch(undefined);
const configSchema = z.looseObject({ bos_token_id: idsSchema, eos_token_id: idsSchema, pad_token_id: idsSchema }).catch({});

type Role = "bos" | "eos" | "pad";

interface ControlTokenInputs {
  readonly idOf: (token: string) => number | undefined;
  readonly vocabSize: number;
  /** Of the post-processor; undefined if the file has none. */
  readonly template: Template | undefined;
  readonly files: ControlFiles;
  /** The tokenizer.json, for errors. */
  readonly file: string;
}

/**
 * The control tokens of a checkpoint. Names come before ids, and the files of the tokenizer before those of the model:
 *
 *     tokenizer_config.json bos_token, eos_token, pad_token  ►  special_tokens_map.json  ►  config.json …_token_id  ►  generation_config.json
 *
 * As in transformers, texts begin with `bos` if `add_bos_token` of tokenizer_config.json is true. Without that key they do so if the
 * post-processor adds it. Without a post-processor they begin with the `bos` that the other files name.
 *
 * @throws LapidaryError `LAP_DATA_TOKENIZER` for a name that the tokenizer does not have, `LAP_TOKENIZER_UNSUPPORTED` for a template of several tokens
 */
export function controlTokensOf(inputs: ControlTokenInputs): ControlTokens {
  const { template, files, file } = inputs;
  const [prefix, suffix] = [template?.prefix ?? [], template?.suffix ?? []];
  if (prefix.length > 1 || suffix.length > 1)
    throw unsupportedTokenizer(
      `${file}: post_processor`,
      `it adds ${prefix.length} tokens before a text and ${suffix.length} after it; at most one on each side is supported`,
    );
  for (const id of [...prefix, ...suffix])
    if (id >= inputs.vocabSize)
      throw badTokenizer(`${file}: post_processor`, `its id ${id} is not in the vocabulary of ${inputs.vocabSize}`);
  const config = namesSchema.parse(files["tokenizer_config.json"] ?? {});
  const named = { bos: find("bos", inputs), eos: find("eos", inputs) };
  const isBosAdded = config.add_bos_token ?? (template === undefined ? named.bos !== named.eos : prefix.length > 0);
  const bos = isBosAdded ? (prefix[0] ?? named.bos) : undefined;
  const eos = named.eos ?? suffix[0];
  if (bos === undefined && eos === undefined) throw missingSeparator(file);
  const pad = find("pad", inputs) ?? eos ?? bos ?? 0;
  const stops = new Set([...(eos === undefined ? [] : [eos]), ...modelIds("eos", inputs)]);
  return {
    ...(bos === undefined ? {} : { bos }),
    // If one token begins and ends texts, it occurs once between two texts.
    ...(eos === undefined || eos === bos ? {} : { eos }),
    pad,
    stops: [...stops],
  };
}

/**
 * The files with names for the control tokens that none of them names.
 *
 * @param names by key of tokenizer_config.json, such as `bos_token`
 */
export function withTokenNames(files: ControlFiles, names: Readonly<Record<string, string>>): ControlFiles {
  const given = Object.assign({}, files["special_tokens_map.json"], files["tokenizer_config.json"]) as object;
  return { ...files, "tokenizer_config.json": { ...names, ...given } };
}

function find(role: Role, { files, file, idOf, vocabSize }: ControlTokenInputs): number | undefined {
  for (const source of ["tokenizer_config.json", "special_tokens_map.json"] as const) {
    const token = namesSchema.parse(files[source] ?? {})[`${role}_token`];
    if (token === null || token === undefined) continue;
    const id = idOf(token);
    if (id !== undefined) return id;
    // Padding is never a target, so any id is suitable.
    if (role !== "pad")
      throw badTokenizer(file, `${source} names ${JSON.stringify(token)} as its ${role}_token, but the tokenizer does not have this token`);
  }
  return modelIds(role, { files, vocabSize })[0];
}

/** The ids in the files of the model, without those that the tokenizer lacks. */
function modelIds(role: Role, { files, vocabSize }: Pick<ControlTokenInputs, "files" | "vocabSize">): readonly number[] {
  const sources =
    role === "eos" ? (["generation_config.json", "config.json"] as const) : (["config.json", "generation_config.json"] as const);
  const found = sources.flatMap((source) => configSchema.parse(files[source] ?? {})[`${role}_token_id`] ?? []);
  return found.filter((id) => Number.isInteger(id) && id >= 0 && id < vocabSize);
}

const missingSeparator = (file: string) =>
  badTokenizer(
    file,
    "no file of the checkpoint names a bos or eos token, which separate the texts of a corpus",
    "set eos_token in the tokenizer_config.json of the same directory",
  );
