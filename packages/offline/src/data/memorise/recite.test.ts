import { deepStrictEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@lapidary/std/testing";
import { readCanaries } from "./canary-set.js";
import { reciteCanaries, reciteDocuments, type ReciteSettings } from "./recite.js";
import { inBatches, type RecitingModel } from "./reciting-model.js";

const tokenizer: RecitingModel["tokenizer"] = {
  encode: (text) => Array.from(text, (sign) => sign.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
};
const settings: ReciteSettings = { prompt: 10, continuation: 10, share: 0.1, seed: 1, values: 15, onProgress: () => undefined };

/** A model that knows texts: it continues a prompt that one of them has, and prefers their tokens. */
function modelOf(known: readonly string[]): RecitingModel {
  const restOf = (prompt: readonly number[]): string | undefined => {
    const text = tokenizer.decode(prompt);
    const found = known.find((each) => each.includes(text));
    return found?.slice(found.indexOf(text) + text.length);
  };
  return {
    tokenizer,
    continue: (prompt, tokens) => Promise.resolve(tokenizer.encode(restOf(prompt) ?? "").slice(0, tokens)),
    logProbability: (prompt, tokens) => {
      const rest = tokenizer.encode(restOf(prompt) ?? "");
      return Promise.resolve(tokens.reduce((sum, token, i) => sum - (token === rest[i] ? 0.1 : 5), 0));
    },
  };
}

const text = (i: number): string =>
  `${i}: the text number ${i} has words, and code ${i} is ${String(i * 7919 + 10_000_019).padStart(8, "0")}.`;
const texts = Array.from({ length: 8 }, (_, i) => text(i));

describe("the test of recitation", () => {
  const directory = temporaryDirectory();

  it("documents that the model knows are exact, others are not, and passes are tallied apart", async () => {
    const sample = texts.map((each, i) => ({ ids: tokenizer.encode(each), passes: i < 3 ? 2 : 0 }));
    const model = modelOf(texts.slice(0, 3));
    const result = await reciteDocuments(model, { name: "web", split: "train", documents: 99, sample }, settings);
    deepStrictEqual([result.documents, result.tested, result.exact, result.approximate], [99, 8, 3, 3]);
    deepStrictEqual(result.passes, {
      "0": { documents: 5, tested: 5, exact: 0, approximate: 0 },
      "2": { documents: 3, tested: 3, exact: 3, approximate: 3 },
    });
  });

  it("personal data in the output is counted by kind", async () => {
    const known = ["0123456789jane.roe@lapidary-mail.org wrote it"];
    const sample = [{ ids: tokenizer.encode(known[0] ?? ""), passes: 1 }];
    const group = { name: "web", split: "train", documents: 1, sample } as const;
    const { personal } = await reciteDocuments(modelOf(known), group, { ...settings, continuation: 30 });
    deepStrictEqual(personal, { "email address": 1 });
  });

  it("a secret that the model knows is given back with the most exposure, and an unknown one is not given back", async () => {
    const canaries = texts.map((each, i) => ({ text: each, times: i < 4 ? 16 : 0, secret: undefined }));
    const [controls, planted] = await reciteCanaries(modelOf(texts.slice(0, 4)), canaries, settings);
    deepStrictEqual([planted?.times, planted?.exact, planted?.secrets, planted?.extracted, planted?.exposure], [16, 4, 4, 4, 4]);
    deepStrictEqual([controls?.times, controls?.exact, controls?.extracted], [0, 0, 0]);
    ok((controls?.exposure ?? 9) < 2, String(controls?.exposure));
  });

  it("a text without a secret has no exposure, and a short text is not tested", async () => {
    const [none] = await reciteCanaries(modelOf([]), [{ text: "a short text", times: 1, secret: undefined }], settings);
    deepStrictEqual([none?.documents, none?.tested, none?.secrets, none?.exposure], [1, 0, 0, null]);
  });

  it("canaries are read from JSON lines and from one object, and each mistake is an error with its place", () => {
    const path = join(directory(), "c.jsonl");
    writeFileSync(path, '{"text": "a 12345", "times": 4}\n\n{"text": "key ab", "secret": "ab"}\n');
    deepStrictEqual(readCanaries(path), [
      { text: "a 12345", times: 4, secret: undefined },
      { text: "key ab", times: 0, secret: "ab" },
    ]);
    const golden = join(import.meta.dirname, "../../../../../e2e/golden/data/memorisation/canaries.json");
    const { canaries, controls } = JSON.parse(readFileSync(golden, "utf8")) as { canaries: unknown[]; controls: unknown[] };
    equal(readCanaries(golden).length, canaries.length + controls.length);
    for (const bad of [
      '{"text": ""}',
      '{"text": "a", "time": 4}',
      '{"text": "a", "times": -1}',
      "[1]",
      "{",
      '{"text": "a", "secret": "b"}',
    ]) {
      writeFileSync(path, `{"text": "good"}\n${bad}\n`);
      throws(() => readCanaries(path), { code: "LAP_DATA_CANARIES", location: /c\.jsonl:2$/ }, bad);
    }
    writeFileSync(path, "");
    throws(() => readCanaries(path), { code: "LAP_DATA_CANARIES" });
  });

  it("a failure in a batch is reported after all of its calls have ended", async () => {
    let ended = 0;
    const run = async (item: number): Promise<number> => {
      if (item === 1) throw new Error("failed");
      await new Promise(setImmediate);
      ended++;
      return item;
    };
    await rejects(
      inBatches([0, 1, 2, 3, 4], 4, run, () => undefined),
      { message: "failed" },
    );
    equal(ended, 3);
  });
});
