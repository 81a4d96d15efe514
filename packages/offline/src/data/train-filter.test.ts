import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openTextModel } from "@lapidary/detectors";
import { ensure } from "@lapidary/std";
import { prose, temporaryDirectory } from "@lapidary/std/testing";
import { trainFilter, type TrainFilterRequest } from "./train-filter.js";

const list = (i: number): string => Array.from({ length: 9 }, (_, n) => `- item ${i + n}: ${n * i} of ${i}`).join("\n");
const rows = Array.from({ length: 60 }, (_, i) => ({
  text: i % 2 === 0 ? prose(i, 6) : list(i),
  label: i % 2 === 0 ? "prose" : "list",
  source: `s${i % 3}`,
}));

describe("the training of a filter", () => {
  const directory = temporaryDirectory();
  const reporter = { progress: () => undefined };
  const train = (lines: readonly unknown[], changes: Partial<TrainFilterRequest> = {}): ReturnType<typeof trainFilter> => {
    const file = join(directory(), "rows.jsonl");
    writeFileSync(file, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
    return trainFilter({ files: [file], label: "label", features: "layout", seed: 0, ...changes }, reporter);
  };

  for (const features of ["layout", "words"] as const)
    it(`a model of ${features} labels texts and sources that it did not see, and its file gives the same probabilities`, () => {
      const { file, labels, random, sources } = train(rows, { features });
      deepStrictEqual(labels, { list: 30, prose: 30 });
      ok(random.texts > 5 && random.right === random.texts, JSON.stringify(random));
      deepStrictEqual(sources, { s0: { texts: 20, right: 20 }, s1: { texts: 20, right: 20 }, s2: { texts: 20, right: 20 } });
      const [model, read] = [openTextModel(file), openTextModel(JSON.parse(JSON.stringify(file)))];
      for (const text of [prose(99, 4), list(99), "", "a"]) {
        const probabilities = ensure(model, "a model").probabilities(text);
        deepStrictEqual(ensure(read, "a model").probabilities(text), probabilities);
        ok(Math.abs(probabilities.reduce((sum, each) => sum + each, 0) - 1) < 1e-9);
      }
    });

  it("labels that say nothing about the text are right by chance only", () => {
    const noise = rows.map((row, i) => ({ ...row, label: (i * 7919) % 13 < 6 ? "yes" : "no" }));
    const { random } = train(noise);
    ok(random.right / random.texts < 0.9, JSON.stringify(random));
  });

  it("another key, rows without a label and rows without sources are accepted", () => {
    const { labels, sources } = train([...rows.map(({ text, label }) => ({ text, kind: label })), { text: "x", kind: null }], {
      label: "kind",
    });
    deepStrictEqual([labels, sources], [{ list: 30, prose: 30 }, {}]);
  });

  it("a row that is not an object, a label with signs, one label and a rare label are errors with their place", () => {
    for (const bad of ["[1]", "{", { label: "a" }, { text: "x" }, { text: "x", label: "a b" }, { text: "x", label: "" }])
      throws(() => train([rows[0], bad]), { code: "LAP_DATA_LABELS", location: /rows\.jsonl:2$/ }, JSON.stringify(bad));
    throws(() => train(rows.slice(0, 19)), { code: "LAP_DATA_LABELS", message: /the label list has 9 of the 10 texts/ });
    throws(() => train(rows.filter(({ label }) => label === "list")), { code: "LAP_DATA_LABELS", message: /fewer than two labels/ });
    equal(train(rows.slice(0, 20)).labels["list"], 10);
  });
});
