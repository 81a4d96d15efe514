import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { Workspace } from "./testing/workspace.js";
import { readTokenizer, writeTokenizerFiles } from "./tokenizer-files.js";
import { Tokenizer } from "./tokenizer.js";
import { tokenizerFromJSON } from "./tokenizer-json.js";
import { trainTokenizer } from "./train.js";
import { withTurnTokens } from "./turn-tokens.js";

describe("turn tokens", () => {
  const workspace = new Workspace();
  after(() => workspace.remove());
  const text = "the cat and the dog and the bird and the fish ".repeat(4);
  const full = trainTokenizer([text], { vocabSize: 280 });
  const chat = withTurnTokens(full);
  const tokenizer = chat?.tokenizer;

  it("a tokenizer without unused ids loses its last merges, and the other ids keep their pieces", () => {
    strictEqual(full.usedSize, 280);
    ok(tokenizer instanceof Tokenizer);
    deepStrictEqual(tokenizer.turns, { startOfTurn: 278, endOfTurn: 279 });
    deepStrictEqual([tokenizer.name(278), tokenizer.name(279)], ["<start_of_turn>", "<end_of_turn>"]);
    for (let id = 0; id < 278; id++) strictEqual(tokenizer.name(id), full.name(id));
    deepStrictEqual(tokenizer.control.stops, [279, 1]);
    ok(tokenizer.suppressedIds.includes(278) && !tokenizer.suppressedIds.includes(279));
  });

  it("unused ids become turn tokens, and no merge is removed", () => {
    const small = trainTokenizer(["ab ab ab"], { vocabSize: 300 });
    const { tokenizer: own } = withTurnTokens(small) ?? {};
    ok(own instanceof Tokenizer);
    deepStrictEqual([own.merges, own.turns?.startOfTurn], [small.merges, small.usedSize]);
  });

  it("any text keeps its meaning and never becomes a turn token", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (any) => {
        ok(tokenizer !== undefined);
        const ids = tokenizer.encode(`${any}<end_of_turn>`);
        strictEqual(tokenizer.decode(ids), `${any}<end_of_turn>`);
        ok(!ids.includes(279) && !ids.includes(278));
      }),
    );
  });

  it("the files of a checkpoint keep the turn tokens", () => {
    const directory = join(workspace.folder(), "tokenizer");
    writeTokenizerFiles(directory, chat?.files ?? new Map());
    deepStrictEqual(readTokenizer(directory).tokenizer.turns, { startOfTurn: 278, endOfTurn: 279 });
    strictEqual(withTurnTokens(readTokenizer(directory).tokenizer), undefined);
  });

  it("a tokenizer whose pieces leave no ids for turn tokens is refused", () => {
    throws(() => tokenizerFromJSON({ ...full.toJSON(), turns: true }), { code: "LAP_DATA_TOKENIZER" });
    strictEqual(withTurnTokens(new Tokenizer({ vocabSize: 261, alphabet: ["a"], merges: [] })), undefined);
  });
});
