import { equal, ok } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import { prose } from "@lapidary/std/testing";
import fc from "fast-check";
import { LanguageClassifier } from "./language-classifier.js";
import { layoutOf } from "./layout.js";
import { type LabelledDocument, LayoutClassifier } from "./layout-classifier.js";

const random = seededRandom(2);
const code = (lines: number): string =>
  Array.from({ length: lines }, (_, i) => `  const value${i} = compute(items[${random.integer(90)}], { limit: ${i} });`).join("\n");
const documents: readonly LabelledDocument[] = Array.from({ length: 40 }, (_, i) =>
  i % 2 === 0 ? { text: prose(i, 12), label: "prose" } : { text: code(6 + random.integer(9)), label: "code" },
);

describe("the classifier of layouts", () => {
  const classifier = LayoutClassifier.train(documents);

  it("unseen texts of the known kinds have their labels", () => {
    for (let i = 100; i < 110; i++) equal(classifier.classify(prose(i, 9)), "prose");
    for (let i = 0; i < 10; i++) equal(classifier.classify(code(5 + i)), "code");
  });

  it("a text of another language and another style has the label of the nearest layout", () => {
    equal(
      classifier.classify("Der Garten ist schön. Wir gehen mit den Kindern in den Park, und das Wetter ist gut. Am Abend essen wir."),
      "prose",
    );
    equal(classifier.classify("def add(a, b):\n    return a + b\n\nx = add(1, 2)\nprint(x[0], {y: 3})\n"), "code");
  });

  it("keywords without sentences are not prose, although no training text has such lines", () => {
    const shop = (i: number): string =>
      Array.from({ length: 8 }, (_, n) => `Item ${n * i}\n€${n + i}.99\nAdd to cart\n★★★★☆ (${random.integer(900)})`).join("\n");
    const index = (i: number): string =>
      [
        "Index",
        "A B C D E F",
        ...Array.from({ length: 20 }, (_, n) => `Article number ${n * i} › ${random.integer(400)}`),
        "Next page »",
      ].join("\n");
    const pages = Array.from({ length: 30 }, (_, i) => ({ text: [shop, index][i % 2]?.(i + 1) ?? "", label: "boilerplate" }));
    const trained = LayoutClassifier.train([...documents.filter(({ label }) => label === "prose"), ...pages]);
    const keywords = (word: string): string =>
      `best ${word} cheap buy ${word} online now ${word} near me ${word} discount code ${word} review `.repeat(20);
    for (const word of ["bicycle", "violin", "lamp"]) equal(trained.classify(keywords(word)), "boilerplate");
    for (let i = 200; i < 210; i++) equal(trained.classify(prose(i, 9)), "prose");
  });

  it("the order of the documents does not change the labels", () => {
    const other = LayoutClassifier.train(documents.toReversed());
    for (let i = 0; i < 10; i++) for (const text of [prose(i + 50, 5), code(i + 3)]) equal(other.classify(text), classifier.classify(text));
  });

  it("every measure of an empty text, and of one character, is a number", () => {
    for (const text of ["", "a", "\n", "\u{1f600}"]) ok(layoutOf(text).every((each) => Number.isFinite(each)));
  });
});

describe("the classifier of languages", () => {
  const classifier = new LanguageClassifier([
    { text: "Der Garten ist heute schön, und die Kinder spielen im Park. Wir essen am Abend Brot und Käse.", label: "de" },
    { text: "The garden is nice today, and the children play in the park. We eat bread and cheese in the evening.", label: "en" },
    { text: "Le jardin est beau aujourd'hui, et les enfants jouent dans le parc. Le soir, nous mangeons du pain.", label: "fr" },
    { text: "今日は天気がいいので、公園を散歩しました。とても楽しかったです。", label: "ja" },
    { text: "for (let i = 0; i < items.length; i++) { sum += items[i].value; } return sum;", label: "code" },
  ]);

  it("unseen sentences have their languages", () => {
    for (const [text, label] of [
      ["Die Kinder essen heute im Garten Brot.", "de"],
      ["The evening in the garden is nice.", "en"],
      ["Les enfants mangent dans le jardin.", "fr"],
      ["公園はとても楽しいです。", "ja"],
      ["for (let j = 0; j < rows.length; j++) { total += rows[j]; }", "code"],
    ] as const)
      equal(classifier.classify(text), label);
  });

  it("the label has the highest sum of the logarithms of all runs of 1 to 4 characters, in random texts", () => {
    const labelled = ["ab ba", "bbb ٣ a", "é 1\n\nb 😀", "\ud83d a1b"].map((text, i) => ({ text, label: `l${i}` }));
    const trained = new LanguageClassifier(labelled);
    const parts = fc.constantFrom("a", "b", " ", "\n", "1", "٣", "é", "😀", "\ud83d", "\u3000", "q");
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 30 }), (all) => {
        const text = all.join("");
        const scores = labelled.map((own) => scoreByDefinition(own.text, text));
        const best = Math.max(...scores);
        ok((scores[Number(trained.classify(text).slice(1))] ?? Number.NaN) >= best - 1e-4);
      }),
    );
  });
});

/** The logarithm of the probability of a text under the runs of another, with 0.02 added to each of 2¹⁸ counts. */
function scoreByDefinition(training: string, text: string): number {
  const counts = new Map<string, number>();
  for (const run of runsOf(training)) counts.set(run, (counts.get(run) ?? 0) + 1);
  const total = 0.02 * 2 ** 18 + runsOf(training).length;
  return runsOf(text).reduce((sum, run) => sum + Math.log(((counts.get(run) ?? 0) + 0.02) / total), 0);
}

function runsOf(text: string): string[] {
  const characters = Array.from(` ${text} `.replace(/\p{Nd}/gu, "0").replace(/\s+/gu, " "));
  return characters.flatMap((_, start) =>
    [1, 2, 3, 4].flatMap((size) => (start + size <= characters.length ? [characters.slice(start, start + size).join("")] : [])),
  );
}
