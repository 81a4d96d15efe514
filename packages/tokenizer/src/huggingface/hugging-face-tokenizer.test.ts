import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { LapidaryError } from "@lapidary/std";
import type { ControlFiles } from "./control-tokens.js";
import { HuggingFaceTokenizer } from "./hugging-face-tokenizer.js";

type Json = Record<string, unknown>;

interface Golden {
  readonly texts: readonly string[];
  readonly models: Readonly<Record<string, Json>>;
  readonly tokenizers: Readonly<Record<string, { readonly base: string; readonly tokenizer: Json }>>;
  readonly expected: Readonly<
    Record<
      string,
      { readonly digests: string; readonly whole: readonly (readonly number[])[]; readonly drawn: readonly [number[], string | null][] }
    >
  >;
}

const golden = JSON.parse(readFileSync(new URL("../../golden/tokenizers.json", import.meta.url), "utf8")) as Golden;

/** Names control tokens, so that a tokenizer without a post-processor has them. */
const config: ControlFiles = { "config.json": { eos_token_id: 1, bos_token_id: 2 } };

/** The tokenizer.json of a golden, with some of its keys replaced. */
function fileOf(name: string, changes: Json = {}, modelChanges: Json = {}): Json {
  const stored = golden.tokenizers[name];
  ok(stored, name);
  const model = { ...(stored.tokenizer["model"] as Json), ...golden.models[stored.base], ...modelChanges };
  return { ...stored.tokenizer, model, ...changes };
}

const tokenizerOf = (name: string): HuggingFaceTokenizer => new HuggingFaceTokenizer(fileOf(name), name, config);

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 8);

describe("a tokenizer.json of Hugging Face", function () {
  this.timeout(60_000);

  it("the goldens contain at least 300 texts and 60 tokenizers", () =>
    ok(golden.texts.length >= 300 && Object.keys(golden.tokenizers).length >= 60));

  for (const [name, { digests, whole, drawn }] of Object.entries(golden.expected))
    it(`ids and decoded text equal those of tokenizers of PyPI: ${name}`, () => {
      const tokenizer = tokenizerOf(name);
      deepStrictEqual(
        golden.texts.slice(0, whole.length).map((text) => tokenizer.encode(text)),
        whole,
      );
      for (const [at, text] of golden.texts.entries()) {
        const wanted = digests.slice(8 * at, 8 * at + 8);
        const ids = tokenizer.encode(text);
        const found = digest([ids, tokenizer.decode(ids), tokenizer.decode(ids, { special: true })]);
        // The library fails for some texts.
        if (!wanted.startsWith("-")) strictEqual(found, wanted, `${JSON.stringify(text)} gives ${ids.join()}`);
      }
      for (const [ids, text] of drawn) if (text !== null) strictEqual(tokenizer.decode(ids, { special: true }), text);
    });

  it("tokens decoded one at a time yield the same text as tokens decoded together", () => {
    for (const name of ["gemma", "llama2", "llama3", "metaspace-first-True", "qwen"]) {
      const tokenizer = tokenizerOf(name);
      for (const text of golden.texts) {
        const ids = tokenizer.encode(text);
        const stream = tokenizer.decodeStream();
        strictEqual(ids.map((id) => stream.push(id)).join("") + stream.end(), tokenizer.decode(ids), `${name}: ${JSON.stringify(text)}`);
      }
    }
  });

  it("the time of encoding is linear in the text, independently of the length of its words", () => {
    const tokenizer = tokenizerOf("gemma-no-pre");
    for (const text of ["a".repeat(300_000), "the ".repeat(100_000), " ".repeat(300_000), "x\n".repeat(100_000)])
      strictEqual(tokenizer.decode(tokenizer.encode(text)), text);
  });

  it("a lone surrogate is encoded as U+FFFD, because UTF-8 cannot represent it", () =>
    strictEqual(tokenizerOf("gemma").decode(tokenizerOf("gemma").encode("a\ud800b")), "a\ufffdb"));
});

describe("a tokenizer.json that cannot be computed exactly", () => {
  const refuses = (code: string, says: RegExp, json: unknown, files: ControlFiles = config): void =>
    throws(
      () => new HuggingFaceTokenizer(json, "dir/tokenizer.json", files),
      (error) => {
        ok(error instanceof LapidaryError, String(error));
        strictEqual(error.code, code);
        ok(says.test(`${error.message} at ${error.location}`), `${error.message} at ${error.location}`);
        return true;
      },
    );
  const unsupported = (says: RegExp, json: unknown): void => refuses("LAP_TOKENIZER_UNSUPPORTED", says, json);
  const broken = (says: RegExp, json: unknown): void => refuses("LAP_DATA_TOKENIZER", says, json);

  it("a model that is not BPE is an error", () => {
    for (const type of ["Unigram", "WordPiece", "WordLevel"])
      unsupported(new RegExp(`type "${type}" is not supported.*BPE.*: model`), fileOf("gemma", { model: { type, vocab: {} } }));
  });

  it("an unknown type or key of a part is an error that names it", () => {
    unsupported(
      /normalizer of type "Precompiled".*NFKC.*: normalizer/,
      fileOf("gemma", { normalizer: { type: "Precompiled", precompiled_charsmap: "AA==" } }),
    );
    unsupported(/normalizers\[1\]/, fileOf("gemma", { normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Nmt" }] } }));
    unsupported(/pre_tokenizer of type "UnicodeScripts"/, fileOf("gemma", { pre_tokenizer: { type: "UnicodeScripts" } }));
    unsupported(/decoder of type "WordPiece"/, fileOf("gemma", { decoder: { type: "WordPiece", prefix: "##", cleanup: true } }));
    unsupported(/post_processor of type "New"/, fileOf("gemma", { post_processor: { type: "New" } }));
    unsupported(/new_flag.*: model/, fileOf("gemma", {}, { new_flag: true }));
    unsupported(
      /add_suffix_space/,
      fileOf("gpt2", { pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, add_suffix_space: true } }),
    );
    unsupported(/dropout 0.1/, fileOf("gemma", {}, { dropout: 0.1 }));
    unsupported(
      /regular expression "\(a"/,
      fileOf("gemma", { pre_tokenizer: { type: "Split", pattern: { Regex: "(a" }, behavior: "Isolated", invert: false } }),
    );
  });

  it("ambiguous ids and merges of unknown tokens are errors", () => {
    broken(
      /"b" and "c" have the same id, 1.*vocab/,
      fileOf("gemma", { added_tokens: [] }, { vocab: { a: 0, b: 1, c: 1 }, merges: [], unk_token: null }),
    );
    broken(/"a" has the id -1/, fileOf("gemma", {}, { vocab: { a: -1 }, merges: [] }));
    broken(/"zz" is not in the vocabulary.*merges\[0\]/, fileOf("gemma", {}, { merges: [["zz", "a"]] }));
    broken(/not a pair of tokens/, fileOf("gemma", {}, { merges: ["a b c"] }));
    broken(/version/, fileOf("gemma", { version: "2.0" }));
    broken(/unk_token/, fileOf("gemma", {}, { unk_token: "<nothing>" }));
    const added = { content: "<new>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    broken(
      /"<new>" has the id 7777, but `tokenizers` assigns 500/,
      fileOf("gemma-no-pre", { added_tokens: [{ ...added, id: 7777 }] }, golden.models[golden.tokenizers["gemma"]?.base ?? ""]),
    );
    broken(
      /added twice/,
      fileOf("gemma", {
        added_tokens: [
          { ...added, content: "<bos>", id: 2 },
          { ...added, content: "<bos>", id: 2 },
        ],
      }),
    );
  });
});

describe("the control tokens of a checkpoint", () => {
  const controlOf = (files: ControlFiles, changes: Json = {}, name = "gemma") =>
    new HuggingFaceTokenizer(fileOf(name, changes), name, files).control;

  it("tokenizer_config.json has precedence over special_tokens_map.json and the ids of the model", () => {
    const map = { bos_token: { content: "<bos>" }, eos_token: "<unk>", pad_token: "<pad>" };
    deepStrictEqual(
      controlOf({ "tokenizer_config.json": { eos_token: { content: "<eos>" } }, "special_tokens_map.json": map, ...config }),
      {
        bos: 2,
        eos: 1,
        pad: 0,
        stops: [1],
      },
    );
    deepStrictEqual(controlOf({ "config.json": { bos_token_id: 2, eos_token_id: [1, 3] } }), { bos: 2, eos: 1, pad: 1, stops: [1, 3] });
  });

  it("texts begin with <bos> if the post-processor adds it, unless add_bos_token is set", () => {
    const names = { bos_token: "<bos>", eos_token: "<eos>" };
    strictEqual(controlOf({ "tokenizer_config.json": names }).bos, 2);
    strictEqual(controlOf({ "tokenizer_config.json": { ...names, add_bos_token: false } }).bos, undefined);
    strictEqual(controlOf({ "tokenizer_config.json": names }, { post_processor: { type: "ByteLevel" } }).bos, undefined);
    strictEqual(
      controlOf({ "tokenizer_config.json": { ...names, add_bos_token: true } }, { post_processor: { type: "ByteLevel" } }).bos,
      2,
    );
    strictEqual(controlOf({ "tokenizer_config.json": names }, { post_processor: null }).bos, 2);
  });

  it("a token that begins and ends texts occurs once between two texts", () =>
    deepStrictEqual(
      controlOf({ "tokenizer_config.json": { bos_token: "<eos>", eos_token: "<eos>", add_bos_token: true } }, { post_processor: null }),
      {
        bos: 1,
        pad: 1,
        stops: [1],
      },
    ));

  it("a control token that the tokenizer lacks is an error, and so is a checkpoint without a separator of texts", () => {
    const refuses = (says: RegExp, files: ControlFiles, changes: Json = {}): void =>
      throws(
        () => controlOf(files, changes),
        (error) => error instanceof LapidaryError && error.code === "LAP_DATA_TOKENIZER" && says.test(error.message),
      );
    refuses(/names "<\/s>" as its eos_token/, { "tokenizer_config.json": { eos_token: "</s>" } });
    const listed = { added_tokens_decoder: { 2: { content: "<bos>" }, 900: { content: "<tool>" } } };
    refuses(/lists "<tool>" with the id 900, but the tokenizer does not have it/, { "tokenizer_config.json": listed, ...config });
    refuses(/lists "<eos>" with the id 7, but its id in the tokenizer is 1/, {
      "tokenizer_config.json": { added_tokens_decoder: { 7: { content: "<eos>" } } },
      ...config,
    });
    refuses(/no file of the checkpoint names a bos or eos token/, {}, { post_processor: null });
  });
});
