import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { openTokenModel, type TokenModel, type TokenPrompt } from "@lapidary/trainer";
import { root } from "./support/cli.js";

const golden = join(root, "e2e/golden/post/mqa");
const manifest = JSON.parse(readFileSync(join(golden, "manifest.json"), "utf8")) as {
  readonly sft: { readonly loss: number; readonly tokens_counted: number };
  readonly generation: { readonly new_tokens: number; readonly stop_token: number };
};

type Rows = readonly (readonly number[])[];

describe("a model that answers in batches", function () {
  this.timeout(120_000);
  let model: TokenModel;
  before(async () => {
    model = await openTokenModel({ checkpoint: golden, environment: process.env });
  });
  after(() => model.close());

  /** The arrays of a golden file as rows. */
  const rowsOf = async (file: string): Promise<(name: string) => Rows> => {
    const tensors = await readSafetensors(join(golden, file));
    return (name) => {
      const { dims, data } = ensure(tensors.get(name), name);
      const width = ensure(dims[1], "width");
      return Array.from({ length: ensure(dims[0], "rows") }, (_, row) => [...data.slice(row * width, (row + 1) * width)]);
    };
  };
  const sampling = { temperature: 0, top_p: 1 };
  const options = { sampling, vocabSize: 272, stopTokens: [] as readonly number[], forbiddenTokens: [] };

  async function prompts(): Promise<readonly TokenPrompt[]> {
    const array = await rowsOf("generation.safetensors");
    const masks = array("prompt_mask");
    return array("prompt_ids").map((ids, row) => ({
      ids: ids.filter((_, i) => masks[row]?.[i] === 1),
      seed: row,
      maxTokens: manifest.generation.new_tokens,
    }));
  }

  it("the likeliest tokens after 16 prompts of different lengths are those of transformers", async () => {
    const array = await rowsOf("generation.safetensors");
    const answers = await model.answers(await prompts(), options);
    deepStrictEqual(
      answers.map(({ ids }) => ids),
      array("tokens"),
    );
    ok(answers.every(({ isCutOff }) => isCutOff));
  });

  it("an answer ends before a stop token, and does not depend on the other prompts of the call", async () => {
    const stopTokens = [manifest.generation.stop_token];
    const array = await rowsOf("generation.safetensors");
    const all = await prompts();
    const answers = await model.answers(all, { ...options, stopTokens });
    for (const [row, { ids, isCutOff }] of answers.entries()) {
      const tokens = ensure(array("tokens")[row], "tokens");
      const end = tokens.indexOf(manifest.generation.stop_token);
      deepStrictEqual([ids, isCutOff], [end < 0 ? tokens : tokens.slice(0, end), end < 0], `row ${row}`);
    }
    const drawn = { ...options, stopTokens, sampling: { temperature: 1, top_p: 1 } };
    const together = await model.answers(all, drawn);
    for (const row of [0, 7, 15]) deepStrictEqual(await model.answers([ensure(all[row], "prompt")], drawn), [together[row]]);
  });

  it("the logits after a prompt are those of transformers", async () => {
    const array = await rowsOf("generation.safetensors");
    const logits = await model.nextLogits((await prompts()).map(({ ids }) => ids));
    const expected = array("logits_first");
    for (const [row, values] of logits.entries())
      for (const [id, value] of values.entries()) ok(Math.abs(value - ensure(expected[row]?.[id], "logit")) < 1e-4, `row ${row}, id ${id}`);
  });

  it("the loss of documents is that of TRL, however they are grouped", async () => {
    const array = await rowsOf("sft.safetensors");
    const [labels, attention] = [array("labels"), array("attention_mask")];
    const documents = array("input_ids").map((ids, row) => {
      const length = ensure(attention[row], "mask").filter((value) => value === 1).length;
      return { ids: ids.slice(0, length), mask: ids.slice(0, length).map((_, i) => (i > 0 && labels[row]?.[i] !== -100 ? 1 : 0)) };
    });
    const { sum, tokens } = await model.loss(documents);
    strictEqual(tokens, manifest.sft.tokens_counted);
    ok(Math.abs(sum / tokens - manifest.sft.loss) < 1e-5, `${sum / tokens}`);
    const [first, rest] = [await model.loss(documents.slice(0, 5)), await model.loss(documents.slice(5))];
    strictEqual(first.tokens + rest.tokens, tokens);
    ok(Math.abs((first.sum + rest.sum) / tokens - manifest.sft.loss) < 1e-5);
  });
});
