import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { resolveJob } from "../job/load-job.js";
import { jobFileOf } from "../job/resolved-job.js";
import { runReferences } from "../job/run-references.js";
import { orderJobs } from "./job-order.js";
import { isDataEntry, isPipeline, type Pipeline, type PipelineJob, resolvePipeline } from "./load-pipeline.js";
import { pipelineJsonSchema } from "./pipeline-schema.js";

const configsDir = resolve(fileURLToPath(import.meta.url), "../../../../../configs");
const inline =
  "{ model: nano16, pod: v5e-256, mesh: { data: 16, model: 16 }, train: { steps: 2, batch: 16, optimizer: { name: sgd, lr: 0.1 } } }";

describe("pipeline files", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-pipeline-"));
  after(() => rmSync(directory, { recursive: true }));
  const loadAll = (text: string, ...overrides: string[]): Pipeline =>
    resolvePipeline({ text, file: "two.yaml", base: directory }, overrides, { configsDir });
  const load = (text: string, ...overrides: string[]): { readonly name: string; readonly jobs: readonly PipelineJob[] } => {
    const { name, jobs } = loadAll(text, ...overrides);
    return { name, jobs: jobs.flatMap((job) => (isDataEntry(job) ? [] : [job])) };
  };
  const fails = (text: string, code: string, location: string, ...overrides: string[]): void =>
    throws(
      () => load(text, ...overrides),
      (error: unknown) => {
        ok(error instanceof LapidaryError, String(error));
        deepStrictEqual([error.code, error.location], [code, location]);
        ok(error.remedy !== "");
        return true;
      },
    );

  it("a pipeline resolves each of its jobs, from a job file or from keys in the pipeline, with overrides", () => {
    writeFileSync(join(directory, "base.yaml"), inline);
    const { name, jobs } = load(
      `jobs:
  tuned: { needs: [base], job: ${inline}, overrides: { train.init: base, train.optimizer: { name: sgd, lr: 0.2 } } }
  base: { file: base.yaml, overrides: { train.steps: 7, seed: 3 } }
`,
      "tuned.train.steps=5",
    );
    strictEqual(name, "two");
    deepStrictEqual(
      jobs.map((job) => [job.name, job.needs, job.job.train.steps, job.job.train.init, job.isPending(job.job.train.init ?? "")]),
      [
        ["base", [], 7, undefined, false],
        ["tuned", ["base"], 5, "base", true],
      ],
    );
    strictEqual(jobs[0]?.job.seed, 3);
  });

  it("a job trains on the output of a data pipeline by the name of its job, if it needs that job", () => {
    writeFileSync(join(directory, "corpus.yaml"), "sources: {}\nstages: []\nout: ./made\n");
    const trains = inline.replace("{ model", "{ data: { pipeline: corpus }, model");
    const text = (needs: string): string => `jobs:
  base: { needs: [${needs}], job: ${trains} }
  corpus: { data: ./corpus.yaml }
`;
    const { jobs } = loadAll(text("corpus"));
    const [corpus, base] = jobs;
    ok(corpus !== undefined && isDataEntry(corpus) && base !== undefined && !isDataEntry(base));
    const out = join(directory, "made");
    deepStrictEqual([corpus.out, base.job.data.pipeline, base.isPending(out)], [out, out, true]);
    deepStrictEqual(corpus.dataJob, { recipe: "data", name: "corpus", pipeline: join(directory, "corpus.yaml"), priority: 0 });
    fails(text(""), "LAP_PIPELINE_INIT", `two.yaml:2:${1 + (text("").split("\n")[1]?.indexOf("pipeline") ?? 0)}`);
    fails(text("corpus"), "LAP_PIPELINE_OVERRIDE", "override corpus.out=x", "corpus.out=x");
    fails("jobs: { corpus: { data: ./missing.yaml } }", "LAP_JOB_FILE", `two.yaml:1:19: ${join(directory, "missing.yaml")}`);
    fails(`jobs: { both: { data: ./corpus.yaml, job: ${inline} } }`, "LAP_CONFIG_VALUE", "two.yaml:1:9");
  });

  it("train.init of a resolved job becomes the directory of the run that the coordinator names", () => {
    const [, tuned] = load(
      `jobs: { base: { job: ${inline} }, tuned: { needs: [base], job: ${inline}, overrides: { train.init: base } } }`,
    ).jobs;
    ok(tuned !== undefined);
    const runs = new Map([["base", "/home/runs/two-1-base"]]);
    const resolved = resolveJob({ value: jobFileOf(tuned.job), file: "job", base: "/" }, [], { configsDir, base: "/", runs });
    strictEqual(resolved.train.init, "/home/runs/two-1-base");
  });

  it("a job of sft starts from the run of a need by the key init, by train.init, or by an override", () => {
    const sft = `recipe: sft, data: { train: [{ path: demos.jsonl }] }, ${inline.slice(1, -1)}`;
    for (const [job, overrides] of [
      [`{ init: base, ${sft} }`, ""],
      [`{ ${sft.replace("train: { steps", "train: { init: base, steps")} }`, ""],
      [`{ ${sft} }`, "init: base"],
    ]) {
      const [, tuned] = load(`jobs: { base: { job: ${inline} }, tuned: { needs: [base], job: ${job}, overrides: { ${overrides} } } }`).jobs;
      deepStrictEqual(
        [tuned?.job.recipe, tuned?.job.train.init, tuned?.isPending("base"), tuned?.job.data.train],
        ["sft", "base", true, [{ path: join(directory, "demos.jsonl") }]],
      );
    }
  });

  it("a job starts from the run of a need that trains an adapter", () => {
    const sft = `recipe: sft, data: { train: [{ path: demos.jsonl }] }, ${inline.slice(1, -1)}`;
    const adapter = `{ init: base, lora: {}, ${sft} }`;
    const { jobs } = load(
      `jobs:\n  third: { needs: [tuned], job: { init: tuned, ${sft} } }\n  tuned: { needs: [base], job: ${adapter} }\n  base: { job: ${inline} }\n`,
    );
    deepStrictEqual(
      jobs.map(({ name, job }) => [name, job.train.init, job.lora !== undefined]),
      [
        ["base", undefined, false],
        ["tuned", "base", true],
        ["third", "tuned", false],
      ],
    );
  });

  it("a reward model may be the run of a need that trains a reward model", () => {
    const sft = `recipe: sft, data: { train: [{ path: demos.jsonl }] }, ${inline.slice(1, -1).replace("batch: 16", "batch: 64")}`;
    const rl = `{ ${sft.replace("recipe: sft", "recipe: rl")}, init: base, reward: [{ checker: sorted }, { model: rm }], rl: { rollout: { max_new_tokens: 8 } } }`;
    const rm = `{ init: base, ${sft.replace("recipe: sft", "recipe: reward")} }`;
    const pipeline = (needs: string, job = rm): string =>
      `jobs:\n  base: { job: ${inline} }\n  rm: { needs: [base], job: ${job} }\n  policy: { needs: [${needs}], job: ${rl} }\n`;
    const [, , policy] = load(pipeline("rm")).jobs;
    deepStrictEqual(policy === undefined ? [] : runReferences(policy.job), [
      { path: ["train", "init"], run: "base", kind: "model" },
      { path: ["reward", "1", "model"], run: "rm", kind: "reward model" },
    ]);
    const located = (text: string): string => `two.yaml:4:${(text.split("\n")[3] ?? "").indexOf("model: rm }") + 1}`;
    fails(pipeline("base"), "LAP_PIPELINE_INIT", located(pipeline("base")));
    fails(pipeline("rm", `{ init: base, ${sft} }`), "LAP_PIPELINE_INIT", located(pipeline("rm")));
  });

  it("init names a need before a run, and a run before a path", () => {
    const runsDirectory = join(directory, "runs");
    const step = (run: string): string => join(runsDirectory, run, "checkpoints", "step-2");
    for (const run of ["base", "other"]) {
      mkdirSync(step(run), { recursive: true });
      writeFileSync(join(step(run), "config.json"), "{}");
    }
    const init = (name: string): string | undefined => {
      const { jobs } = resolvePipeline(
        { text: `jobs: { base: { job: ${inline} }, tuned: { needs: [base], job: ${inline} } }`, file: "two.yaml", base: directory },
        [`tuned.init=${name}`],
        { configsDir, runsDirectory },
      );
      return jobs.flatMap((job) => (isDataEntry(job) ? [] : [job]))[1]?.job.train.init;
    };
    deepStrictEqual(["base", "other", "third"].map(init), ["base", step("other"), join(directory, "third")]);
  });

  it("a path of train.init is relative to the pipeline file, even if a job has the same name", () => {
    const text = `jobs: { base: { job: ${inline} }, tuned: { needs: [base], job: ${inline}, overrides: { train.init: ./base } } }`;
    strictEqual(load(text).jobs[1]?.job.train.init, join(directory, "base"));
  });

  it("mistakes in a pipeline are errors with a location", () => {
    const job = (more: string): string => `{ job: ${inline}, ${more} }`;
    fails(`jobs:\n  a: ${job("needs: [b]")}\n  bb: ${job("")}\n`, "LAP_PIPELINE_NEED", at(`jobs:\n  a: ${job("needs: [b]")}`, "needs"));
    const circle = `jobs:\n  a: ${job("needs: [b]")}\n  b: ${job("needs: [a]")}\n`;
    fails(circle, "LAP_PIPELINE_CYCLE", at(circle, "needs"));
    const itself = `jobs:\n  a: ${job("needs: [a]")}\n`;
    fails(itself, "LAP_PIPELINE_CYCLE", at(itself, "needs"));
    fails(`jobs:\n  a: ${job("")}\n  a: ${job("")}\n`, "LAP_CONFIG_YAML", "two.yaml:3:3");
    fails(`jobs:\n  a: ${job("overrides: { train.init: b }")}\n  b: ${job("")}\n`, "LAP_PIPELINE_INIT", "override train.init=b");
    fails(
      `jobs:\n  a: ${job("")}\n  b: ${job("needs: [a], overrides: { model: micro, train.init: a }")}\n`,
      "LAP_INIT_MISMATCH",
      "override train.init=a: the run of job a",
    );
    fails("jobs: {}", "LAP_CONFIG_VALUE", "two.yaml:1:1");
    fails("jobs:\n  a: { needs: [] }\n", "LAP_CONFIG_VALUE", "two.yaml:2:3");
    fails("jobs:\n  a: { file: absent.yaml }\n", "LAP_JOB_FILE", `two.yaml:2:8: ${join(directory, "absent.yaml")}`);
    fails("jobs:\n  A: { file: base.yaml }\n", "LAP_CONFIG_VALUE", "two.yaml:2:3");
    fails("name: two\njob: {}\n", "LAP_CONFIG_UNKNOWN_KEY", "two.yaml:2:1");
    // A mistake in a job has the line of the pipeline file.
    fails(`jobs:\n  a:\n    job:\n      model: nano16\n      stepz: 3\n`, "LAP_CONFIG_UNKNOWN_KEY", "two.yaml:5:7");
    fails(`jobs:\n  a: ${job("")}\n`, "LAP_PIPELINE_OVERRIDE", "override train.steps=3", "train.steps=3");
    fails(`jobs:\n  a: ${job("")}\n`, "LAP_CONFIG_VALUE", "override train.steps=x", "a.train.steps=x");
  });

  it("the jobs of a pipeline are in the order of their needs", () => {
    const jobs = [
      { name: "d", needs: ["b", "c"] },
      { name: "b", needs: ["a"] },
      { name: "c", needs: ["a"] },
      { name: "a", needs: [] },
    ];
    const order = orderJobs(jobs, (name) => name);
    deepStrictEqual(
      order.jobs.map(({ name }) => name),
      ["a", "b", "c", "d"],
    );
    deepStrictEqual([...order.ancestors("d")].sort(), ["a", "b", "c"]);
    throws(() => orderJobs([...jobs, { name: "a", needs: [] }], (name) => name), { code: "LAP_PIPELINE_JOB", location: "a" });
  });

  it("a file with the key jobs is a pipeline", () => {
    const is = (text: string): boolean => isPipeline({ text, file: "x.yaml", base: "/" });
    deepStrictEqual([is("jobs: {}"), is("name: x\njobs: [\n"), is("model: nano16"), is("model: jobs")], [true, true, false, false]);
  });

  it("the JSON Schema of pipeline files describes the keys of inline jobs", () => {
    const text = JSON.stringify(pipelineJsonSchema());
    ok(text.includes('"needs"') && text.includes('"optimizer"'));
  });
});

/** The location of the first occurrence of a key, on the second line of a text. */
function at(text: string, key: string): string {
  return `two.yaml:2:${(text.split("\n")[1] ?? "").indexOf(key) + 1}`;
}
