import { deepStrictEqual, ok } from "node:assert/strict";
import fc from "fast-check";
import { type Piece, PieceType } from "./model-proto.js";
import { TextUnits } from "./text-units.js";
import { UnigramSegmenter } from "./unigram.js";

/** Random scores of some texts. Scores of one tenth make sums that rounding decides, and equal ones make ties. */
const scores = fc.constantFrom(-0.1, -0.3, -0.7, -1, -1.1, -2, -2.2, -3, -5);
const texts = ["a", "b", "ab", "ba", "aab", "bb", "▁", "▁a", "▁ab", "▁b", "x", "xx", "😀"];
const models = fc
  .array(scores, { minLength: texts.length, maxLength: texts.length })
  .map((all): Piece[] => [
    { text: "<unk>", score: 0, type: PieceType.unknown },
    ...texts.map((text, i): Piece => ({ text, score: Math.fround(all[i] ?? 0), type: PieceType.normal })),
  ]);
const words = fc.constantFrom("▁ab", "▁aabb", "▁abab", "▁xxx", "▁q", "▁😀a", "▁baaab", "▁a", "▁q😁b");
const sentences = fc.array(words, { maxLength: 60 }).map((all) => all.join(""));

function idsOf(segmenter: UnigramSegmenter, text: string): (number | string)[] {
  const found: (number | string)[] = [];
  const ids: number[] = [];
  segmenter.segment(new TextUnits().read(text), ids, (character) => {
    found.push(...ids.splice(0), character);
  });
  return [...found, ...ids];
}

/** The best path through the whole text, with sums of 32 bits and without parts or a cache (unigram_model.cc). */
function wholePath(pieces: readonly Piece[], text: string): (number | string)[] {
  const ids = new Map(pieces.map(({ text: piece }, id) => [piece, id]));
  const lowest = Math.min(...pieces.filter(({ type }) => type === PieceType.normal).map(({ score }) => score));
  const characters = Array.from(text);
  const best: { total: number; start: number; symbol: number | string }[] = [{ total: 0, start: 0, symbol: 0 }];
  for (let start = 0; start < characters.length; start++)
    for (let end = start + 1; end <= Math.min(characters.length, start + 3); end++) {
      const piece = characters.slice(start, end).join("");
      const id = ids.get(piece);
      if (id === undefined && end > start + 1) continue;
      const score = id === undefined ? Math.fround(lowest - 10) : (pieces[id]?.score ?? 0);
      const total = Math.fround(score + (best[start]?.total ?? 0));
      const earlier = best[end];
      if (earlier === undefined || total > earlier.total) best[end] = { total, start, symbol: id ?? piece };
    }
  const path: (number | string)[] = [];
  for (let end = characters.length; end > 0; end = best[end]?.start ?? 0) path.unshift(best[end]?.symbol ?? 0);
  return path;
}

describe("a unigram segmenter", () => {
  it("the ids of a text do not depend on the cache of its parts, also where rounding decides", () => {
    fc.assert(
      fc.property(models, fc.array(sentences, { minLength: 2, maxLength: 4 }), (pieces, all) => {
        const used = new UnigramSegmenter(pieces);
        for (const text of [...all, ...all]) deepStrictEqual(idsOf(used, text), wholePath(pieces, text));
      }),
    );
  });

  it("a long text, in which sums lose precision, has the ids of the path through the whole text", () => {
    const pieces = texts.map((text, i): Piece => ({ text, score: Math.fround(-8 - i / 10), type: PieceType.normal }));
    const all = [{ text: "<unk>", score: 0, type: PieceType.unknown }, ...pieces];
    const segmenter = new UnigramSegmenter(all);
    const text = "▁aabb▁abab▁xxx▁baaab▁q".repeat(300);
    ok(Math.abs(wholePath(all, text).length) > 3000);
    deepStrictEqual(idsOf(segmenter, text), wholePath(all, text));
  });
});
