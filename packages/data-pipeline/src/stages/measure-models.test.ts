import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openTextModel, type TextFeatures, trainTextModel } from "@lapidary/detectors";
import { ensure } from "@lapidary/std";
import { prose, temporaryDirectory } from "@lapidary/std/testing";
import { readPipeline } from "../file/pipeline-file.js";
import { datasetCard } from "../result/card.js";
import { whatIf } from "../result/whatif.js";
import { whyDocument } from "../result/why.js";
import { jsonlOf, runFile, writeText } from "../testing/pipelines.js";

const code = (seed: number): string =>
  Array.from({ length: 12 }, (_, i) => `  const value${i} = compute(items[${seed + i}], { limit: ${i * seed} });`).join("\n");
const labelled = Array.from({ length: 30 }, (_, i) =>
  i % 2 === 0 ? { text: prose(i, 9), label: "docs" } : { text: code(i), label: "code" },
);
const texts = Array.from({ length: 24 }, (_, i) =>
  i % 3 === 0 ? code(100 + i) : i % 3 === 1 ? prose(100 + i, 8) : `${prose(i, 2)}\n${code(i)}`,
);

const readText = (path: string): string => readFileSync(path, "utf8");

describe("models of labels in pipelines", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  /** A pipeline file with a model of its own. */
  function pipelineWith(name: string, features: TextFeatures, rule: string, seed = 1): string {
    writeFileSync(join(directory(), `${name}.json`), JSON.stringify(trainTextModel(labelled, features, seed)));
    writeText(join(directory(), "in/a.jsonl"), jsonlOf(texts));
    return writeText(
      join(directory(), `${name}.yaml`),
      `sources:
  web: { read: ./in/*.jsonl, licence: CC0-1.0 }
stages:
  - measure: { of: [gopher], models: { kind: ./${name}.json } }
  - rules: { code: '${rule}' }
    expect: 100%
out: ./${name}
`,
    );
  }

  for (const features of ["layout", "words"] as const)
    it(`a rule on a model of ${features} drops the texts that its probability says, and whatif moves the limit exactly`, async () => {
      const model = ensure(openTextModel(trainTextModel(labelled, features, 1)), "a model");
      const codeOf = (text: string): number => ensure(model.probabilities(text)[model.labels.indexOf("code")], "a probability");
      const scores = texts.map(codeOf);
      const different = [...new Set(scores)].sort((a, b) => a - b);
      const [low, high] = [ensure(different[1], "a score"), ensure(different.at(-2), "a score")];
      ok(low < high, "the model tells the texts apart");
      const { stages } = await runFile(pipelineWith(features, features, `kind.code > ${high}`));
      const kept = (limit: number): number => scores.filter((score) => !(score > limit)).length;
      deepStrictEqual([stages.at(-1)?.counts.out, stages.at(-1)?.counts.dropped], [kept(high), { code: texts.length - kept(high) }]);
      const out = join(directory(), features);
      const effect = await whatIf(out, `kind.code_max = ${low}`);
      deepStrictEqual([effect.kept.before, effect.kept.after, effect.lost.length], [kept(high), kept(low), kept(high) - kept(low)]);
      const moved = pipelineWith(features, features, `kind.code > ${low}`);
      const again = await runFile(moved);
      deepStrictEqual([again.stages.at(-1)?.counts.out, again.computed], [kept(low), 1]);
      const [history] = await whyDocument(out, "doc-0");
      const measured = ensure(
        history?.stages.find(({ kind }) => kind === "measured"),
        "measures",
      );
      ok(measured.kind === "measured");
      deepStrictEqual([measured.values["kind"], measured.values["kind.code"]], ["code", scores[0]]);
      ok((await datasetCard(out)).limits.some(({ limit }) => limit === "kind.code_max"));
    });

  it("the measures are computed again if the model changes, and not if its file is renamed", async () => {
    const file = pipelineWith("keyed", "words", 'kind == "code"');
    await runFile(file);
    strictEqual((await runFile(file)).computed, 0);
    renameSync(join(directory(), "keyed.json"), join(directory(), "renamed.json"));
    const yaml = pipelineWith("keyed", "words", 'kind == "code"');
    writeFileSync(yaml, readText(yaml).replace("./keyed.json", "./renamed.json"));
    strictEqual((await runFile(yaml)).computed, 0);
    writeFileSync(join(directory(), "renamed.json"), JSON.stringify(trainTextModel(labelled.slice(4), "words", 1)));
    strictEqual((await runFile(yaml)).computed, 2);
  });

  it("a file that is no model, a missing one, an unknown label and a taken name are errors", async () => {
    const file = pipelineWith("bad", "words", "kind.code > 0.5");
    const yaml = readText(file);
    const withText = (from: string, to: string): void => writeFileSync(file, yaml.replace(from, to));
    withText("kind.code", "kind.maths");
    throws(
      () => readPipeline(file),
      (error: { code?: string; message?: string }) => {
        strictEqual(error.code, "LAP_DATA_RULE");
        match(error.message ?? "", /kind\.maths/);
        return true;
      },
    );
    for (const [name, why] of [
      ["quality", /other columns/],
      ["Kind", /lower-case/],
    ] as const) {
      withText("models: { kind", `models: { ${name}`);
      throws(() => readPipeline(file), { code: "LAP_DATA_PIPELINE", message: why });
    }
    withText("{ of: [gopher], models: { kind: ./bad.json } }", "{ words: pattern }");
    throws(() => readPipeline(file), { code: "LAP_DATA_PIPELINE", message: /neither a group nor a model/ });
    withText("./bad.json", "./none.json");
    throws(() => readPipeline(file), { code: "LAP_FILE_MISSING" });
    writeFileSync(file, yaml);
    for (const content of ["{", "{}", JSON.stringify({ ...trainTextModel(labelled, "words", 1), labels: ["a", "b", "c"] })]) {
      writeFileSync(join(directory(), "bad.json"), content);
      await rejects(async () => runFile(file), { code: "LAP_DATA_MODEL", location: /bad\.json$/ }, content);
    }
  });
});
