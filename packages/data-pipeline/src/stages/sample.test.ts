import { deepStrictEqual } from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { type SampledText, smallestTexts } from "./sample.js";

async function* stream(texts: readonly SampledText[]): AsyncGenerator<SampledText> {
  yield* texts;
}

describe("the sample that trains a tokenizer", () => {
  it("has the texts with the smallest ids that fit, in any order of the texts", async () => {
    const sizes = fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 300 }), fc.infiniteStream(fc.nat()), async (all, bytes, order) => {
        const texts = all.map((size, i) => ({ id: String(i).padStart(4, "0"), text: "x".repeat(size) }));
        const shuffled = texts.map((each) => ({ each, at: order.next().value ?? 0 })).sort((a, b) => a.at - b.at);
        let sum = 0;
        const fitting = texts.filter(({ text }, i) => (sum += text.length) <= bytes || i === 0);
        deepStrictEqual(await smallestTexts(stream(shuffled.map(({ each }) => each)), bytes), fitting);
      }),
    );
  });

  it("a text is released as soon as smaller ids fill the sample and an eighth", async () => {
    const texts = Array.from({ length: 400 }, (_, i) => ({ id: String((i * 263) % 400).padStart(4, "0"), text: "x".repeat(1000) }));
    const held: WeakRef<SampledText>[] = [];
    let most = 0;
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    async function* fresh(): AsyncGenerator<SampledText> {
      for (const [i, text] of texts.entries()) {
        const own = { ...text };
        held.push(new WeakRef(own));
        yield own;
        if (i % 50 !== 49) continue;
        await new Promise(setImmediate);
        collectGarbage();
        most = Math.max(most, held.filter((each) => each.deref() !== undefined).length);
      }
    }
    const sample = await smallestTexts(fresh(), 40_000);
    deepStrictEqual([sample.length, most <= 48], [40, true]);
  });
});
