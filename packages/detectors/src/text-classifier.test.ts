import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import { chooseThreshold, type LabelledText, TextClassifier, trainClassifier } from "./text-classifier.js";

const random = seededRandom(3);
const oneOf = (words: readonly string[]): string => words[random.integer(words.length)] ?? "";
const fillers = ["slowly", "then", "in the kitchen", "with care", "before noon", "for the class", "as the book says", "at home"];
const filler = (): string => `${oneOf(fillers)} ${oneOf(fillers)}`;

/** Instructions with a harmful pair of words, and hard negatives: the same words in harmless pairs. */
const texts = (count: number): readonly LabelledText[] =>
  Array.from({ length: count }, (_, i) => {
    const isPositive = i % 2 === 0;
    const pair = isPositive ? oneOf(["mix poison", "brew acid"]) : oneOf(["mix acid", "brew poison", "mix tea", "brew coffee"]);
    return { text: `${filler()} ${pair} ${filler()}`, isPositive };
  });

describe("the classifier of texts", () => {
  const classifier = trainClassifier(texts(400), 0);

  it("it separates pairs of words whose single words do not decide", () => {
    const wrong = texts(100).filter(({ text, isPositive }) => classifier.isPositive(text) !== isPositive);
    ok(wrong.length <= 5, `${wrong.length} of 100 are wrong: ${wrong[0]?.text}`);
  });

  it("the same texts and the same seed give the same file, and a written file gives the same probabilities", () => {
    const rows = texts(50);
    const first = trainClassifier(rows, 1);
    deepStrictEqual(trainClassifier(rows, 1).file, first.file);
    const read = TextClassifier.parse(JSON.parse(JSON.stringify(first.file)));
    ok(read !== undefined);
    for (const { text } of rows) strictEqual(read.probability(text), first.probability(text));
  });

  it("a value that is not a classifier, or has other lengths, is refused", () => {
    strictEqual(TextClassifier.parse({}), undefined);
    strictEqual(TextClassifier.parse({ ...classifier.file, weights: [] }), undefined);
    strictEqual(TextClassifier.parse({ ...classifier.file, buckets: 2 }), undefined);
  });

  it("a text without words has the probability of the bias", () => {
    ok(Math.abs(classifier.probability("…") - 1 / (1 + Math.exp(-classifier.file.bias))) < 1e-12);
  });
});

describe("the threshold of a classifier", () => {
  /** A classifier with the probabilities σ(weight) for the words a to d. */
  const ranked = (): TextClassifier =>
    trainClassifier(
      [
        { text: "a", isPositive: true },
        { text: "b", isPositive: false },
      ],
      0,
    );
  const heldOut = (labels: readonly boolean[]): readonly LabelledText[] =>
    labels.map((isPositive, i) => ({ text: i % 2 === 0 ? "a" : "b", isPositive }));

  it("the chosen threshold reaches the precision with the highest recall", () => {
    const quality = chooseThreshold(ranked(), heldOut([true, false, true, false, true, true]), 0.9);
    ok("threshold" in quality);
    deepStrictEqual([quality.precision, quality.recall], [1, 0.75]);
    // Of 4 × 2 pairs, 3 × 2 are in the right order and 1 × 2 are equal.
    strictEqual(quality.auc, 7 / 8);
    strictEqual(quality.threshold, ranked().probability("a"));
  });

  it("the best precision is returned if no threshold reaches the wanted one", () => {
    deepStrictEqual(chooseThreshold(ranked(), heldOut([true, false, false, true]), 0.9), { bestPrecision: 0.5 });
  });
});
