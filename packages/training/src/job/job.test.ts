import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { logicalNames } from "@lapidary/compiler";
import { GraphBuilder } from "@lapidary/ir";
import { buildModel, logicalAxes, parameterCount } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { jobFuzzTarget } from "../testing/fuzz.js";
import { initProgram } from "../step/init-program.js";
import { trainStep } from "../step/train-step.js";
import { buildOptionsOf } from "./build-options.js";
import { jobJsonSchema } from "./job-schema.js";
import { newTokenizerWarnings, tokenizerRequest } from "./job-tokenizer.js";
import { loadJob, resolveJob } from "./load-job.js";
import { lossChunksOf } from "./loss-chunks.js";
import { compileOptions, jobFileText, meshOf, printJob, printJobFile, type ResolvedJob, zeroOptions } from "./resolved-job.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const environment = { configsDir: join(root, "configs"), base: "/work/here" };
const base = `# a job
model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
train:
  steps: 10
  batch: 32
  optimizer: { name: adamw, lr: 1e-3 }
`;
const resolved = (text = base, ...overrides: string[]): ResolvedJob =>
  resolveJob({ text, file: "jobs/mine.yaml", base: "/jobs" }, overrides, environment);

function refuses(run: () => unknown, expected: { code: string; exit: number; place?: string; says?: RegExp; remedy?: RegExp }): void {
  throws(run, (error) => {
    ok(error instanceof LapidaryError, String(error));
    deepStrictEqual([error.code, error.exit], [expected.code, expected.exit], `${error.message} ${error.location}`);
    if (expected.place !== undefined) strictEqual(error.location, expected.place);
    if (expected.says !== undefined) ok(expected.says.test(error.message), error.message);
    if (expected.remedy !== undefined) ok(expected.remedy.test(error.remedy), error.remedy);
    return true;
  });
}

describe("job files", () => {
  for (const file of readdirSync(join(environment.configsDir, "jobs"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".yaml"),
  ))
    it(`${file} resolves, and its printed form resolves to the same job without other files`, () => {
      const job = loadJob(join(environment.configsDir, "jobs", file), [], environment);
      const again = resolveJob({ text: printJob(job), file: "job.yaml", base: "/" }, [], { configsDir: "/nowhere", base: "/" });
      deepStrictEqual(again, job);
      deepStrictEqual(JSON.parse(JSON.stringify(job)), job);
    });

  for (const [key, value, says] of [
    ["train.optimizer.lr", "1e300", /must be at most 3\.4028234663852886e\+38, the largest number of f32/],
    ["train.optimizer.lr", "3.5e38", /largest number of f32/],
    ["train.optimizer.lr", "1e-60", /would hold it as 0/],
    ["train.optimizer.lr", ".inf", /expected a finite number/],
    ["train.optimizer.eps", "1e-60", /would hold it as 0/],
    ["train.optimizer.eps", "1e39", /largest number of f32/],
    ["train.optimizer.weight_decay", "1e-50", /would hold it as 0/],
    ["train.optimizer.betas", "[0.9, 0.99999999]", /would hold it as 1/],
    ["train.optimizer.betas", "[1e-60, 0.9]", /would hold it as 0/],
    ["train.clip", "1e39", /largest number of f32/],
    ["train.clip", "1e-60", /would hold it as 0/],
    ["train.schedule", "{ name: cosine, final: 1e-60 }", /would hold it as 0/],
    [
      "model",
      "{ vocab_size: 8, model_dim: 4, layers: 1, heads: 2, kv_heads: 1, head_dim: 2, mlp_dim: 8, context_length: 8, norm_eps: 1e-60 }",
      /norm_eps.*would hold it as 0/,
    ],
    [
      "model",
      "{ vocab_size: 8, model_dim: 4, layers: 1, heads: 2, kv_heads: 1, head_dim: 2, mlp_dim: 8, context_length: 8, rope_theta: 1e39 }",
      /rope_theta.*largest number of f32/,
    ],
  ] as const)
    it(`a job rejects ${key}=${value.slice(-20)}, which f32 cannot represent`, () => {
      refuses(() => resolved(base, `${key}=${value}`), { code: "LAP_CONFIG_VALUE", exit: 2, says });
    });

  it("JSON and printed YAML resolve to the same job, with and without overrides", () => {
    const job = resolved(base, "train.guard={not_finite: skip}", "rules.vocab=null");
    const value = JSON.parse(jobFileText(job)) as Record<string, unknown>;
    const elsewhere = { configsDir: "/nowhere", base: "/" };
    deepStrictEqual(resolveJob({ value, file: "job", base: "/" }, [], elsewhere), job);
    strictEqual(printJobFile(value), printJob(job));
    const overrides = ["train.steps=7", "mesh={ data: 32, model: 8 }", "zero=2"];
    deepStrictEqual(
      resolveJob({ value, file: "job", base: "/" }, overrides, elsewhere),
      resolveJob({ text: printJob(job), file: "job", base: "/", isPrinted: true }, overrides, elsewhere),
    );
    deepStrictEqual(value, JSON.parse(jobFileText(job)), "an override leaves the given value unchanged");
  });

  it("errors about a job in JSON name the key: unknown keys, wrong types, values that do not fit, deep nesting", () => {
    const value = JSON.parse(jobFileText(resolved())) as { train: Record<string, unknown> };
    const refusesValue = (given: Record<string, unknown>, wanted: Parameters<typeof refuses>[1]): void =>
      refuses(() => resolveJob({ value: given, file: "job", base: "/" }, [], environment), wanted);
    refusesValue({ ...value, train: { ...value.train, batch: 33 } }, { code: "LAP_MESH_INDIVISIBLE", exit: 4, place: "train.batch" });
    refusesValue({ ...value, train: { ...value.train, steps: "7" } }, { code: "LAP_CONFIG_VALUE", exit: 2, place: "train.steps" });
    refusesValue({ ...value, trian: {} }, { code: "LAP_CONFIG_UNKNOWN_KEY", exit: 2, place: "trian" });
    refusesValue({}, { code: "LAP_CONFIG_MISSING_KEY", exit: 2 });
    refusesValue(JSON.parse('{"__proto__": {"steps": 1}}'), { code: "LAP_CONFIG_UNKNOWN_KEY", exit: 2 });
    const deep = JSON.parse(`{"model":${"[".repeat(100_000)}${"]".repeat(100_000)}}`) as Record<string, unknown>;
    refusesValue(deep, { code: "LAP_CONFIG_VALUE", exit: 2, place: "job", says: /nest deeper than 32/ });
  });

  it("errors about text that Lapidary printed name the key, not the line", () => {
    const text = printJob(resolved()).replace("batch: 32", "batch: 33");
    for (const [isPrinted, place] of [
      [true, "train.batch"],
      [false, /^job:\d+:\d+$/],
    ] as const)
      throws(
        () => resolveJob({ text, file: "job", base: "/", isPrinted }, [], environment),
        (error) =>
          error instanceof LapidaryError && (typeof place === "string" ? error.location === place : place.test(error.location ?? "")),
      );
    refuses(() => resolveJob({ text: printJob(resolved()), file: "job", base: "/", isPrinted: true }, ["train.batch=33"], environment), {
      code: "LAP_MESH_INDIVISIBLE",
      exit: 4,
      place: "override train.batch=33",
    });
  });

  it("a job accepts the limits of the range of f32", () => {
    strictEqual(resolved(base, "train.optimizer.lr=3.4028234663852886e38").train.optimizer.lr, 3.4028234663852886e38);
    strictEqual(resolved(base, "train.optimizer.weight_decay=0").train.optimizer.weight_decay, 0);
  });

  it("a job is read from a pipe, and a pipe without a writer does not block", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    try {
      const pipe = join(directory, "pipe");
      execFileSync("mkfifo", [pipe]);
      refuses(() => loadJob(pipe, [], environment), { code: "LAP_JOB_FILE", exit: 2, says: /no process writes to/ });
      const writer = spawn("sh", ["-c", 'printf %s "$JOB" > "$PIPE"'], { env: { ...process.env, JOB: base, PIPE: pipe } });
      strictEqual(loadJob(pipe, [], environment).train.batch, 32);
      writer.unref();
      refuses(() => loadJob("/dev/zero", [], environment), { code: "LAP_CONFIG_YAML", exit: 2 });
    } finally {
      rmSync(directory, { recursive: true });
    }
  }).timeout(30_000);

  for (const file of readdirSync(join(environment.configsDir, "strategies")))
    it(`${file} gives rules and a ZeRO stage, which the keys of the job override`, () => {
      const name = file.replace(".yaml", "");
      const job = loadJob(join(environment.configsDir, "jobs/nano16.yaml"), [`strategy=${name}`, "zero=null"], environment);
      const mine = loadJob(
        join(environment.configsDir, "jobs/nano16.yaml"),
        [`strategy=${name}`, "zero=2", "rules.vocab=null"],
        environment,
      );
      deepStrictEqual(job.rules["batch"], ["data"]);
      const isOnModel = /tensor|two-dimensional|context|expert/.test(name);
      deepStrictEqual(job.rules["heads"], isOnModel ? ["model"] : []);
      const zero = /zero-(\d)/.exec(name)?.[1] ?? { "two-dimensional": 1, context: 3, expert: 3 }[name];
      strictEqual(job.zero, Number(zero ?? 0));
      strictEqual(mine.zero, 2);
      deepStrictEqual(mine.rules["vocab"], []);
    });

  it("a resolved job has defaults: name, slice, rules for the axes of the mesh, the model's context and vocabulary", () => {
    const job = resolved();
    deepStrictEqual(
      [job.name, job.slice, job.chips, job.train.seq, job.data.vocab, job.data.corpus, job.zero, job.numerics],
      ["mine", "16x16", 256, 32, 512, "node_modules", 0, "f32"],
    );
    deepStrictEqual(job.rules, {
      batch: ["data"],
      seq: [],
      vocab: ["model"],
      embed: [],
      heads: ["model"],
      kv_heads: ["model"],
      mlp: ["model"],
      norm: [],
      activation_seq: [],
      activation_embed: [],
    });
    deepStrictEqual(resolved(base.replace(/mesh.*\n/, ""), "train.batch=256").mesh, [{ name: "data", size: 256 }]);
  });

  it("overrides replace values of the file and have the type that the schema requires", () => {
    deepStrictEqual(resolved(base, "train.steps=50", "name=7", "mesh.data=8", "mesh.model=32").mesh, [
      { name: "data", size: 8 },
      { name: "model", size: 32 },
    ]);
    strictEqual(resolved(base, "name=7").name, "7");
    deepStrictEqual(resolved(base, "mesh=data=8,model=32").mesh, resolved(base, "mesh={data: 8, model: 32}").mesh);
    deepStrictEqual(resolved(base, "rules.heads=null", "rules.embed=[data]").rules["heads"], []);
    deepStrictEqual(resolved(base, "sample.prompt=12", "sample=null").sample, undefined);
    strictEqual(resolved(base, "sample.prompt={x: *y").sample?.prompt, "{x: *y");
    strictEqual(resolved(base, "train.optimizer.lr=2e-3", "train.optimizer.lr=3e-3").train.optimizer.lr, 3e-3);
  });

  it("paths in the file are relative to the file, paths in overrides to the working directory", () => {
    strictEqual(resolved(`${base}data: { corpus: a.txt }`).data.corpus, "/jobs/a.txt");
    strictEqual(resolved(base, "data.corpus=a.txt").data.corpus, "/work/here/a.txt");
    strictEqual(resolved(base, "train.init=/ckpt").train.init, "/ckpt");
    strictEqual(resolved(`${base}data: { tokenizer: here }`).data.tokenizer, "/jobs/here");
    strictEqual(resolved(base, "data.tokenizer=here").data.tokenizer, "/work/here/here");
  });

  it("a job uses the tokenizer of train.init, unless it names another or requests a new one", () => {
    const of = (...overrides: string[]): unknown => tokenizerRequest(resolved(base, ...overrides));
    const trained = { kind: "train", vocabSize: 512 };
    deepStrictEqual(tokenizerRequest(resolved()), trained);
    deepStrictEqual(of("train.init=/ckpt"), { kind: "given", path: "/ckpt" });
    deepStrictEqual(of("train.init=/ckpt", "data.tokenizer=/other"), { kind: "given", path: "/other" });
    deepStrictEqual(of("train.init=/ckpt", "data.tokenizer=train"), trained);
    strictEqual(resolved(base, "train.init=/ckpt").data.vocab, undefined);
    // The printed job does not set the number of ids either.
    strictEqual(resolved(printJob(resolved(base, "train.init=/ckpt"))).data.vocab, undefined);
    const [warning] = newTokenizerWarnings(resolved(base, "train.init=/ckpt", "data.tokenizer=train"));
    strictEqual(warning?.code, "LAP_TOKENIZER_NEW");
  });

  it("an error about an unknown key has its location and suggests the nearest key of any mapping", () => {
    const unknown = { code: "LAP_CONFIG_UNKNOWN_KEY", exit: 2 };
    refuses(() => resolved(base.replace("batch", "bacth")), {
      ...unknown,
      place: "jobs/mine.yaml:7:3",
      says: /"train.bacth"/,
      remedy: /"train.batch"/,
    });
    refuses(() => resolved(base, "trian.steps=5"), { ...unknown, place: "override trian.steps=5", remedy: /"train"/ });
    refuses(() => resolved(base, "lr=5"), { ...unknown, remedy: /"train.optimizer.lr"/ });
    refuses(() => resolved(base, "qwertyuiop=2"), { ...unknown, remedy: /known keys are name, model/ });
    refuses(() => resolved(base, "__proto__.x=1"), { ...unknown, place: "override __proto__.x=1" });
    refuses(() => resolved(`${base}__proto__: { zero: 3 }`), { ...unknown, place: "jobs/mine.yaml:9:1" });
    refuses(() => resolved(base.replace("lr: 1e-3", "lr: 1, betas: [0.9, 0.95]"), "train.optimizer.name=sgd"), {
      ...unknown,
      remedy: /train.optimizer.betas=null/,
    });
  });

  it("an error about a wrong type, a value out of range or a missing key names key, value and location", () => {
    const wrong = { code: "LAP_CONFIG_VALUE", exit: 2 };
    refuses(() => resolved(base.replace("1e-3", ".nan")), { ...wrong, place: "jobs/mine.yaml:8:29", says: /train.optimizer.lr is NaN/ });
    refuses(() => resolved(base.replace("steps: 10", "steps: ten")), {
      ...wrong,
      place: "jobs/mine.yaml:6:3",
      says: /"ten": expected number/,
    });
    refuses(() => resolved(base, "train.steps=1.5"), { ...wrong, says: /whole number/ });
    refuses(() => resolved(base, "train.optimizer.name=adam"), { ...wrong, says: /one of adamw, sgd/ });
    refuses(() => resolved(base, "zero=4"), { ...wrong, says: /one of 0, 1, 2, 3/ });
    refuses(() => resolved(base, "rules.batch=5"), { ...wrong, says: /string or array or null/ });
    refuses(() => resolved(base, "name=My Job"), { ...wrong, says: /a-z 0-9/ });
    refuses(() => resolved(base, "train.seq=64"), { ...wrong, says: /maximum is 32, the context of nano16/ });
    refuses(() => resolved(base, "data.vocab=513"), { ...wrong, says: /maximum is 512, the vocabulary of nano16/ });
    refuses(() => resolved(base, "model={vocab_size: 5}"), { code: "LAP_CONFIG_MISSING_KEY", exit: 2, says: /model.model_dim is missing/ });
    refuses(() => resolved("model: nano16\npod: v5e-256"), {
      code: "LAP_CONFIG_MISSING_KEY",
      exit: 2,
      says: /train is missing/,
      place: "jobs/mine.yaml:1:1",
    });
  });

  it("a slice, mesh, number of pods or batch that does not fit has exit code 4", () => {
    refuses(() => resolved(base, "slice=32x16"), { code: "LAP_SLICE_TOO_LARGE", exit: 4 });
    refuses(() => resolved(base, "slice=256"), { code: "LAP_SLICE_TOO_LARGE", exit: 4 });
    refuses(() => resolved(base, "slice=8x16"), {
      code: "LAP_MESH_DOES_NOT_FILL",
      exit: 4,
      place: "jobs/mine.yaml:4:1",
      remedy: /data=8,model=16/,
    });
    refuses(() => resolved(base, "pods=2", "mesh.model=32"), { code: "LAP_MESH_POD_AXIS", exit: 4 });
    refuses(() => resolved(base, "train.batch=40"), {
      code: "LAP_MESH_INDIVISIBLE",
      exit: 4,
      place: "override train.batch=40",
      says: /40 is not divisible by data = 16/,
      remedy: /32 or 48/,
    });
    refuses(() => resolved(base, "train.batch=3"), { code: "LAP_MESH_INDIVISIBLE", exit: 4, remedy: /batch of 16,/ });
  });

  it("rules must name axes of the mesh and of the model", () => {
    refuses(() => resolved(base, "rules.head=model"), { code: "LAP_RULE_UNKNOWN", exit: 2, remedy: /"heads"/ });
    refuses(() => resolved(base, "rules.heads=modle"), {
      code: "LAP_MESH_AXIS_UNKNOWN",
      exit: 2,
      remedy: /"model"/,
      place: "override rules.heads=modle",
    });
    refuses(() => resolved(base, "rules.batch=[data, data]"), { code: "LAP_RULE_AXIS_TWICE", exit: 2 });
    refuses(() => resolved(base, "mesh={16: data}"), { code: "LAP_CONFIG_VALUE", exit: 2 });
    refuses(() => resolved(base, "mesh=data:16"), { code: "LAP_MESH_TEXT", exit: 2, place: "override mesh=data:16" });
  });

  it("the default rules keep a dim whole if no sub-axis divides it", () => {
    const odd = "model={vocab_size: 33, model_dim: 8, layers: 1, heads: 6, kv_heads: 1, head_dim: 2, mlp_dim: 20, context_length: 32}";
    const { rules } = resolved(base, odd);
    deepStrictEqual([rules["vocab"], rules["heads"], rules["kv_heads"], rules["mlp"]], [[], ["model"], [], ["model"]]);
  });

  it("a job file must be one plain YAML mapping", () => {
    const yaml = { code: "LAP_CONFIG_YAML", exit: 2 };
    refuses(() => resolved("a: &x 1\nb: *x"), { ...yaml, place: "jobs/mine.yaml:1:7", says: /alias/ });
    refuses(() => resolved("a: [1"), { ...yaml, says: /not YAML/ });
    refuses(() => resolved("zero: 1\nzero: 2"), { ...yaml, place: "jobs/mine.yaml:2:1", says: /unique/ });
    refuses(() => resolved("a: 1\n---\nb: 2"), yaml);
    refuses(() => resolved("- 1"), yaml);
    refuses(() => resolved(""), yaml);
    refuses(() => resolved("x".repeat(300_000)), yaml);
    refuses(() => resolved(base, "train"), { code: "LAP_CONFIG_OVERRIDE", exit: 2 });
    refuses(() => resolved(base, "zero=[1"), { code: "LAP_CONFIG_OVERRIDE", exit: 2 });
  });

  it("an error names the file that is missing or is not text", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    try {
      writeFileSync(join(directory, "latin.yaml"), Buffer.from([0x61, 0xe9, 0x3a]));
      refuses(() => loadJob("latin.yaml", [], { ...environment, base: directory }), { code: "LAP_JOB_FILE", exit: 2, says: /not UTF-8/ });
      refuses(() => loadJob("none.yaml", [], { ...environment, base: directory }), {
        code: "LAP_JOB_FILE",
        exit: 2,
        place: "none.yaml",
        says: /none.yaml not found/,
      });
      refuses(() => resolved(base, "model=quikstart"), {
        code: "LAP_JOB_MODEL",
        exit: 2,
        place: "override model=quikstart",
        remedy: /"quickstart"/,
      });
      refuses(() => resolved(base, "pod=./pod.yaml"), { code: "LAP_JOB_POD", exit: 2, says: /\/work\/here\/pod.yaml/ });
      writeFileSync(
        join(directory, "m.yaml"),
        "vocab_size: 10\nmodel_dim: 4\nlayers: 1\nheads: 3\nkv_heads: 2\nhead_dim: 2\nmlp_dim: 4\ncontext_length: 4\n",
      );
      refuses(() => resolved(base, `model=${directory}/m.yaml`), {
        code: "LAP_CONFIG_VALUE",
        exit: 2,
        place: `${directory}/m.yaml:5:1`,
        says: /must divide heads/,
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("any text and any override resolve to a job or throw a LapidaryError", () =>
    fc.assert(jobFuzzTarget(environment.configsDir).property, { numRuns: 300 }));
});

describe("pieces of the loss in job files", () => {
  it("a job has the pieces that it names, of every part of a split sequence; auto must be resolved first", () => {
    strictEqual(lossChunksOf(resolved()), undefined);
    strictEqual(lossChunksOf(resolved(base, "loss_chunks=1")), undefined);
    deepStrictEqual(lossChunksOf(resolved(base, "loss_chunks=4")), { count: 4, seqParts: 1 });
    // The hidden states are gathered over an axis that splits the vocabulary.
    deepStrictEqual(lossChunksOf(resolved(base, "loss_chunks=4", "rules.activation_seq=model")), { count: 4, seqParts: 1 });
    const split = resolved(base, "loss_chunks=2", "rules.activation_seq=model", "rules.vocab=null");
    deepStrictEqual(lossChunksOf(split), { count: 2, seqParts: 16 });
    throws(() => lossChunksOf(resolved(base, "loss_chunks=auto")), /number of pieces of the loss is known/);
  });

  it("more pieces than tokens of a part, other words and recipes without logits are refused", () => {
    const refusal = { code: "LAP_CONFIG_VALUE", exit: 4, place: "loss_chunks" };
    refuses(() => resolved(base, "loss_chunks=33"), { ...refusal, exit: 2, says: /maximum is 32/, place: "override loss_chunks=33" });
    refuses(() => resolved(base, "loss_chunks=3", "rules.activation_seq=model", "rules.vocab=null"), {
      ...refusal,
      exit: 2,
      says: /is 2/,
      place: "override loss_chunks=3",
    });
    refuses(() => resolved(base, "loss_chunks=0"), { code: "LAP_CONFIG_VALUE", exit: 2 });
    refuses(() => resolved(base, "loss_chunks=some"), { code: "LAP_CONFIG_VALUE", exit: 2 });
    refuses(() => resolved(base, "attention=fast"), { code: "LAP_CONFIG_VALUE", exit: 2 });
    refuses(() => resolved(base, "recipe=reward", "loss_chunks=2"), {
      code: "LAP_CONFIG_VALUE",
      exit: 2,
      says: /loss_chunks is not a key of the recipe reward/,
    });
  });
});

describe("resolved jobs", () => {
  it("ZeRO splits states over the batch axes inside a pod, never across pods", () => {
    deepStrictEqual(zeroOptions(resolved(base, "zero=3")), { stage: 3, axes: ["data"] });
    const two = resolved(base.replace(/mesh.*\n/, "mesh: { pod: 2, data: 256 }\n"), "pods=2", "train.batch=512", "zero=3");
    deepStrictEqual([two.rules["batch"], zeroOptions(two), two.chips], [["pod", "data"], { stage: 3, axes: ["data"] }, 512]);
  });

  it("the compiler options have the rules of the axes that a graph has", () => {
    const job = resolved();
    const model = buildModel(job.model.config);
    const step = trainStep(model, job.train, { batch: job.train.batch, seq: job.train.seq });
    ok("batch" in compileOptions(job, step).rules && "heads" in compileOptions(job, step).rules);
    ok(!("batch" in compileOptions(job, initProgram(model, job.train.optimizer, 0)).rules));
    strictEqual(meshOf(job).axes.length, 2);
    deepStrictEqual(compileOptions(job, new GraphBuilder("empty").finish()).rules, {});
  });

  it("the rules cover every logical axis of a graph", () => {
    const axes = (job: ResolvedJob): string[] => {
      const step = trainStep(buildModel(job.model.config, buildOptionsOf(job)), job.train, { batch: job.train.batch, seq: 8 });
      const carried = [...new Set(step.values.flatMap(logicalNames))].sort();
      deepStrictEqual(carried, Object.keys(job.rules).sort());
      return carried;
    };
    const exchanged = resolved(base.replace(/mesh.*\n/, "mesh: { data: 64, context: 4 }\n"), "context.strategy=heads", "train.batch=64");
    const experts = "experts={ count: 4, per_token: 2, mlp_dim: 8 }";
    const mixture = resolved(
      base.replace(/mesh.*\n/, "mesh: { data: 64, expert: 4 }\n"),
      `model={ family: mixtral, vocab_size: 64, model_dim: 8, layers: 1, heads: 2, kv_heads: 1, head_dim: 4, mlp_dim: 8, context_length: 32, ${experts.replace("=", ": ")} }`,
      "moe.dispatch=capacity",
      "train.batch=256",
    );
    const staged = resolved(base.replace(/mesh.*\n/, "mesh: { data: 128, stage: 2 }\n"), "model.layers=2", "train.batch=128");
    const all = [resolved(), exchanged, mixture, staged].flatMap(axes);
    deepStrictEqual([...new Set(all)].sort(), [...logicalAxes].sort());
  });

  it("gemma-2b and gemma-7b have the parameter counts of the Gemma report", () => {
    const count = (name: string): number =>
      parameterCount(buildModel(loadJob(join(environment.configsDir, "jobs", `${name}.yaml`), [], environment).model.config));
    deepStrictEqual([count("gemma-2b"), count("gemma-7b")], [524_550_144 + 1_981_884_416, 786_825_216 + 7_751_248_896]);
  });

  it("the models of other families have their published parameter counts", () => {
    const job = { path: join(environment.configsDir, "jobs", "gemma-2b.yaml"), small: ["train.seq=1024"] };
    const count = (name: string): number =>
      parameterCount(buildModel(loadJob(job.path, [`model=${name}`, ...job.small], environment).model.config));
    deepStrictEqual(
      ["gemma-2-2b", "gemma-3-1b", "llama-3.1-8b", "qwen3-8b"].map(count),
      [2_614_341_888, 999_885_952, 8_030_261_248, 8_190_735_360],
    );
  });

  it("a directory with the config.json of a checkpoint is a model, and prints as one", () => {
    const bundle = fileURLToPath(new URL("../../../../e2e/golden/families/gemma2", import.meta.url));
    const { model } = resolved(base, `model=${bundle}`, "train.seq=32");
    deepStrictEqual(
      [model.name, model.config.family, model.config.layerTypes, model.config.attentionCap],
      ["gemma2", "gemma2", ["window", "full"], 2],
    );
    deepStrictEqual(resolved(printJob(resolved(base, `model=${bundle}`, "train.seq=32"))).model, model);
    throws(() => resolved(base, `model=${join(bundle, "..")}`, "train.seq=32"), /config.json/);
  });

  it("a model has only the keys of its family", () => {
    const wrong = (override: string, text: RegExp): void => {
      throws(
        () =>
          resolved(
            base.replace(
              /model: .*/,
              "model: { family: llama, vocab_size: 512, model_dim: 64, layers: 2, heads: 4, kv_heads: 1, head_dim: 16, mlp_dim: 256, context_length: 32 }",
            ),
            override,
          ),
        text,
      );
    };
    wrong("model.window=8", /Llama has no such option/);
    wrong(
      "model.rope_scaling={ kind: llama3, factor: 8, low_freq_factor: 4, high_freq_factor: 1, original_context: 64 }",
      /must be larger/,
    );
    wrong("model.kv_heads=3", /must divide heads/);
  });

  it("the JSON Schema of job files describes keys", () => {
    const { properties } = jobJsonSchema() as { properties: Record<string, { description?: string }> };
    ok(properties["zero"]?.description?.includes("ZeRO stage"));
  });
});
