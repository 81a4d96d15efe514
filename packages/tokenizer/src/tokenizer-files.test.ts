import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode, Workspace } from "./testing/workspace.js";
import { inspectTokenizer } from "./inspect.js";
import { trainSentencePiece } from "./sentencepiece/training/train-sentencepiece.js";
import { hashOfTokenizer, hasTokenizer, readTokenizer, writeTokenizerFiles } from "./tokenizer-files.js";
import { trainTokenizer } from "./train.js";
import { toHuggingFace } from "./to-hugging-face.js";

const workspace = new Workspace();
const own = trainTokenizer(["the words of our own tokenizer, the words"], { vocabSize: 280 });
const ownJson = JSON.stringify(own);
const hub = toHuggingFace(own)["tokenizer.json"];
const hubJson = JSON.stringify(hub, null, 2);
/** The same tokenizer with one more token, as transformers writes it after `add_tokens`. */
const withAddedToken = (): string => {
  const file = JSON.parse(hubJson) as { added_tokens: { id: number; content: string }[] };
  const [first] = file.added_tokens;
  file.added_tokens.push({ ...first, id: 280, content: "<tool>" });
  return JSON.stringify(file);
};
const names = { "tokenizer_config.json": '{ "bos_token": "<bos>", "eos_token": "<eos>" }' };
const text = "the words of <bos>";

describe("the tokenizer of a checkpoint", () => {
  after(() => workspace.remove());

  it("lapidary_tokenizer.json has precedence, and the files are returned unchanged, byte for byte", () => {
    const pretty = JSON.stringify(JSON.parse(ownJson), null, 1);
    const directory = workspace.folder({ "lapidary_tokenizer.json": pretty, "tokenizer.json": hubJson, "chat_template.jinja": "{{ x }}" });
    const { tokenizer, files, place } = readTokenizer(directory);
    deepStrictEqual(tokenizer.encode(text), own.encode(text));
    strictEqual(place, join(directory, "lapidary_tokenizer.json"));
    for (const [name, content] of [
      ["lapidary_tokenizer.json", pretty],
      ["tokenizer.json", hubJson],
      ["chat_template.jinja", "{{ x }}"],
    ] as const)
      strictEqual(Buffer.from(files.get(name) ?? []).toString("utf8"), content);
    ok(files.has("special_tokens_map.json"), "what transformers needs is added");
  });

  it("without lapidary_tokenizer.json the tokenizer is tokenizer.json, in which <bos> inside a text is one token", () => {
    const { tokenizer } = readTokenizer(workspace.folder({ "tokenizer.json": hubJson, ...names }));
    deepStrictEqual(tokenizer.encode("the words of"), own.encode("the words of"));
    strictEqual(tokenizer.encode(text).at(-1), 2);
    deepStrictEqual(tokenizer.control, { bos: 2, eos: 1, pad: 1, stops: [1] });
  });

  it("the path of a tokenizer may be a file with any name", () => {
    const directory = workspace.folder({ "ours.json": ownJson, "theirs.json": hubJson, "tokenizer.json": "{}", ...names });
    deepStrictEqual(readTokenizer(join(directory, "ours.json")).tokenizer.encode(text), own.encode(text));
    strictEqual(readTokenizer(join(directory, "theirs.json")).tokenizer.control.bos, 2);
  });

  it("a tokenizer.model is the tokenizer of a directory without a tokenizer.json, and of a path with any name", () => {
    const { file, tokenizer: trained } = trainSentencePiece([text], { vocabSize: 380 });
    const directory = workspace.folder({ "tokenizer.model": file, "tokenizer_config.json": '{ "eos_token": "<end_of_turn>" }' });
    const { tokenizer, files, place } = readTokenizer(directory);
    deepStrictEqual(tokenizer.encode(text), trained.encode(text));
    deepStrictEqual(tokenizer.control, { bos: 2, eos: 5, pad: 0, stops: [5] });
    strictEqual(place, join(directory, "tokenizer.model"));
    const named = readTokenizer(join(workspace.folder({ gemma: file }), "gemma"));
    deepStrictEqual([...named.files.keys()], ["tokenizer.model"]);
    deepStrictEqual(named.tokenizer.encode(text), trained.encode(text));
    const copy = join(workspace.folder(), "tokenizer");
    writeTokenizerFiles(copy, files);
    ok(hasTokenizer(copy));
    strictEqual(hashOfTokenizer(readTokenizer(copy).files), hashOfTokenizer(files));
    const both = workspace.folder({ "tokenizer.model": file, "tokenizer.json": hubJson, ...names });
    strictEqual(readTokenizer(both).place, join(both, "tokenizer.json"));
  });

  it("a directory with two different tokenizers is an error", () => {
    const directory = workspace.folder({ "lapidary_tokenizer.json": ownJson, "tokenizer.json": withAddedToken() });
    throws(() => readTokenizer(directory), hasCode("LAP_TOKENIZER_CONFLICT", directory));
    const other = toHuggingFace(trainTokenizer(["another text, another text"], { vocabSize: 280 }))["tokenizer.json"];
    writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(other));
    throws(() => readTokenizer(directory), hasCode("LAP_TOKENIZER_CONFLICT", directory));
  });

  it("a directory without a tokenizer is an error, and that of an unsupported form names the command that converts it", () => {
    const empty = workspace.folder({ "config.json": "{}" });
    throws(() => readTokenizer(empty), hasCode("LAP_CHECKPOINT_TOKENIZER", empty));
    throws(() => readTokenizer(join(empty, "absent")), hasCode("LAP_CHECKPOINT_MISSING", "absent"));
    for (const name of ["spiece.model", "vocab.json"]) {
      const directory = workspace.folder({ [name]: "x" });
      throws(
        () => readTokenizer(directory),
        (error: Error & { remedy?: string }) => error.message.includes(name) && /save_pretrained/.test(error.remedy ?? ""),
      );
    }
  });

  it("a file that is not JSON, is truncated, or is a pointer of Git LFS is an error", () => {
    const bad = (content: string): string => workspace.folder({ "tokenizer.json": content, ...names });
    for (const content of ["", hubJson.slice(0, 500), "[]", "null", '"x"', "{}"])
      throws(() => readTokenizer(bad(content)), hasCode("LAP_DATA_TOKENIZER", "tokenizer.json"), content.slice(0, 20));
    throws(
      () => readTokenizer(bad("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")),
      (error: Error & { remedy?: string }) => /git lfs pull/.test(error.remedy ?? ""),
    );
  });

  it("the hash changes with any file and any id of a control token", () => {
    const config = (eos: number): string => JSON.stringify({ hidden_size: eos, eos_token_id: eos });
    const hashes = [
      { "tokenizer.json": hubJson, ...names },
      { "tokenizer.json": withAddedToken(), ...names },
      { "tokenizer.json": hubJson, "tokenizer_config.json": '{ "bos_token": "<bos>", "eos_token": "<unk>" }' },
      { "tokenizer.json": hubJson, ...names, "config.json": config(1) },
      { "tokenizer.json": hubJson, ...names, "config.json": config(3) },
    ].map((files) => hashOfTokenizer(readTokenizer(workspace.folder(files)).files));
    strictEqual(new Set(hashes).size, hashes.length);
  });

  it("a written tokenizer is read back with the same files", () => {
    const { files } = readTokenizer(
      workspace.folder({ "tokenizer.json": hubJson, "config.json": '{ "eos_token_id": 1, "hidden_size": 8 }' }),
    );
    const directory = join(workspace.folder(), "tokenizer");
    writeTokenizerFiles(directory, files);
    strictEqual(readFileSync(join(directory, "tokenizer.json"), "utf8"), hubJson);
    const again = readTokenizer(directory);
    strictEqual(hashOfTokenizer(again.files), hashOfTokenizer(files));
    deepStrictEqual(again.tokenizer.control, { bos: 2, eos: 1, pad: 1, stops: [1] });
  });

  it("inspectTokenizer returns the size and throws the same errors as readTokenizer", async () => {
    strictEqual((await inspectTokenizer(workspace.folder({ "tokenizer.json": hubJson, ...names }))).vocabSize, 280);
    await rejects(inspectTokenizer(workspace.folder({ "tokenizer.json": "{", ...names })), hasCode("LAP_DATA_TOKENIZER", "tokenizer.json"));
  });
});
