import { segmentPattern } from "./characters.js";
import type { Tokenizer } from "./tokenizer.js";
import { SpecialToken, specialNames } from "./vocabulary.js";

/** Files that make a directory loadable by `transformers.AutoTokenizer`: name → content, to be written as JSON. */
export type HuggingFaceTokenizerFiles = Readonly<Record<"tokenizer.json" | "tokenizer_config.json" | "special_tokens_map.json", object>>;

/** Gemma's chat template, with the text of the system before the first text of the user. It agrees with the template of package `data`. */
const chatTemplate = [
  "{{ bos_token }}",
  "{% set system = messages[0]['role'] == 'system' %}",
  "{% for message in (messages[1:] if system else messages) %}",
  "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}",
  "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}",
  "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}",
  "{{ '<start_of_turn>' + role + '\\n' }}",
  "{% if system and loop.first %}{{ messages[0]['content'] | trim + '\\n\\n' }}{% endif %}",
  "{{ message['content'] | trim + '<end_of_turn>\\n' }}",
  "{% endfor %}",
  "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
].join("");

/**
 * The tokenizer in the format of Hugging Face `tokenizers` (0.20 or later). The ids are the same, with a leading `<bos>` as in
 * Gemma. One difference: by default that library reads `<bos>` inside a text as the control token.
 */
export function toHuggingFace(tokenizer: Tokenizer): HuggingFaceTokenizerFiles {
  const { pad, eos, bos, unk } = SpecialToken;
  const name = (id: number): string => tokenizer.name(id);
  const { turns } = tokenizer;
  const controlIds = [...specialNames.keys(), ...(turns === undefined ? [] : [turns.startOfTurn, turns.endOfTurn])];
  const vocabulary = Object.fromEntries(Array.from({ length: tokenizer.vocabSize }, (_, id) => [name(id), id]));
  const named = { bos_token: name(bos), eos_token: name(eos), pad_token: name(pad), unk_token: name(unk) };
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: controlIds.map((id) => ({
        id,
        content: name(id),
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: segmentPattern("x") }, behavior: "Isolated", invert: false },
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: named.bos_token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
        pair: [
          { SpecialToken: { id: named.bos_token, type_id: 0 } },
          { Sequence: { id: "A", type_id: 0 } },
          { SpecialToken: { id: named.bos_token, type_id: 1 } },
          { Sequence: { id: "B", type_id: 1 } },
        ],
        special_tokens: { [named.bos_token]: { id: named.bos_token, ids: [bos], tokens: [named.bos_token] } },
      },
      decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: named.unk_token,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: true,
        ignore_merges: false,
        vocab: vocabulary,
        merges: tokenizer.merges.map(([left, right]) => [name(left), name(right)]),
      },
    },
    "tokenizer_config.json": {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...named,
      clean_up_tokenization_spaces: false,
      ...(turns === undefined ? {} : { chat_template: chatTemplate }),
    },
    "special_tokens_map.json": named,
  };
}
