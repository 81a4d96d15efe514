const control = ["<pad>", "<eos>", "<bos>", "<unk>"];
const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
const names = [...control, ...bytes, "<start_of_turn>", "<end_of_turn>"];

/** The tokenizer of the golden runs of post-training, as files of a checkpoint: byte `b` is id `4 + b`, and Gemma's control tokens. */
export const byteTokenizerFiles: Readonly<Record<string, string>> = {
  "tokenizer.json": JSON.stringify({
    version: "1.0",
    added_tokens: names.flatMap((content, id) =>
      content.startsWith("<0x")
        ? []
        : [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
    ),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<bos>": { id: "<bos>", ids: [2], tokens: ["<bos>"] } },
    },
    decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      byte_fallback: true,
      fuse_unk: false,
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      merges: [],
    },
  }),
  "tokenizer_config.json": JSON.stringify({ bos_token: "<bos>", eos_token: "<eos>", pad_token: "<pad>", unk_token: "<unk>" }),
};
