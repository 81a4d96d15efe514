import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError, ensure } from "@lapidary/std";
import fc from "fast-check";
import { compileJob } from "./compile-job.js";
import { loadJob, resolveJob } from "./load-job.js";
import { printJob, type ResolvedJob } from "./resolved-job.js";
import { jobWarnings, shardingFindings } from "./sharding-findings.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const environment = { configsDir: join(root, "configs"), base: "/work/here" };
const sizes = { vocab_size: 512, model_dim: 64, layers: 1, heads: 4, kv_heads: 1, head_dim: 16, mlp_dim: 128, context_length: 64 };
const withModel = (more: Partial<typeof sizes>): string => `model=${JSON.stringify({ ...sizes, ...more })}`;
const base = `model: ${JSON.stringify(sizes)}
pod: { name: small, torus: 4x4, chip: v5e, host: 4x2 }
mesh: { data: 4, model: 4 }
zero: 3
train: { steps: 4, batch: 8, seq: 32, optimizer: { name: adamw, lr: 1e-3 } }
`;
const job = (...overrides: string[]): ResolvedJob => resolveJob({ text: base, file: "job.yaml", base: "/jobs" }, overrides, environment);
const codes = (...overrides: string[]): string[] => jobWarnings(job(...overrides)).map(({ code, place }) => `${code} ${place ?? ""}`);

/** The job as a coordinator parses it. */
const reread = (of: ResolvedJob): ResolvedJob => resolveJob({ text: printJob(of), file: "job", base: "/" }, [], environment);

/** Axes of more than one chip that split no value of the compiled step. */
function idleOf(of: ResolvedJob): string[] {
  const { mesh, global } = compileJob(of, { verify: false });
  const used = new Set(global.values.flatMap(({ sharding }) => ensure(sharding, "sharding").dims.flat()));
  return mesh.axes
    .filter(({ name, size }) => size > 1 && !mesh.atoms.some(({ id, axis }) => axis === name && used.has(id)))
    .map(({ name }) => name);
}

describe("findings about a job's sharding", () => {
  for (const file of readdirSync(join(environment.configsDir, "jobs"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".yaml"),
  ))
    it(`${file} has no findings`, function () {
      this.timeout(60_000);
      deepStrictEqual(jobWarnings(loadJob(join(environment.configsDir, "jobs", file), [], environment)), []);
    });

  it("a job whose axes and sizes fit has no findings, also with one key head, grouped key heads and small norms", () => {
    deepStrictEqual(codes(), []);
    deepStrictEqual(codes(withModel({ kv_heads: 2 })), []);
    deepStrictEqual(codes("mesh={data: 16}", "train.batch=16", withModel({ model_dim: 66, head_dim: 16, mlp_dim: 256 })), []);
    deepStrictEqual(codes("strategy=tensor-sequence"), []);
    deepStrictEqual(codes("strategy=zero-3", "mesh={data: 16}", "train.batch=16"), []);
  });

  it("a finding about an idle axis names the axis, the copies and the rules that would use it", () => {
    const [warning, ...others] = jobWarnings(job("strategy=zero-3", "train.batch=16"));
    deepStrictEqual(others, []);
    strictEqual(warning?.code, "LAP_MESH_AXIS_IDLE");
    match(warning.message, /axis model splits nothing: its 4 chips store and compute the same/);
    match(warning.remedy, /heads → model.*mesh=\{data: 16\}/);
    deepStrictEqual(codes("rules.batch=null", "zero=0"), ["LAP_MESH_AXIS_IDLE mesh.data"]);
    deepStrictEqual(codes("pods=2", "mesh={pod: 2, data: 4, model: 4}", "rules.batch=data"), ["LAP_MESH_AXIS_IDLE mesh.pod"]);
  });

  it("a finding about an idle axis names every size that the axis does not divide, once", () => {
    const warnings = jobWarnings(job(withModel({ vocab_size: 513, heads: 3, kv_heads: 3, mlp_dim: 129 })));
    deepStrictEqual(
      warnings.map(({ code }) => code),
      ["LAP_MESH_AXIS_IDLE"],
    );
    match(warnings[0]?.message ?? "", /513 is not.*3 is not.*129 is not divisible by any part of model = 4/);
  });

  it("an axis under replicate has a finding too", () => {
    const [warning] = jobWarnings(job("mesh={data: 4, spare: 4}", "replicate=[spare]"));
    match(warning?.message ?? "", /spare splits nothing: its 4 chips store and compute the same.*it is in replicate/);
  });

  it("a finding about a rule without its full effect names the cost and a size that fits", () => {
    const [none] = jobWarnings(job(withModel({ vocab_size: 513 })));
    deepStrictEqual([none?.code, none?.place], ["LAP_RULE_INDIVISIBLE", "rules.vocab"]);
    match(
      none?.message ?? "",
      /vocab → model has no effect: 513 is not divisible by any part of model = 4.* a chip stores .* instead of .*logits/,
    );
    match(none?.remedy ?? "", /model.vocab_size=516/);
    const [part, ...others] = jobWarnings(job(withModel({ vocab_size: 514 })));
    deepStrictEqual(others, []);
    match(part?.message ?? "", /only part of its effect: 514 is divisible by only 2 of model = 4: 2 chips hold the same part/);
    match(part?.remedy ?? "", /model.vocab_size=516.*mesh=\{data: 8, model: 2\}/);
    deepStrictEqual(codes("mesh={data: 1, model: 16}", "zero=0", withModel({ kv_heads: 4 })), ["LAP_RULE_INDIVISIBLE rules.heads"]);
    deepStrictEqual(codes(withModel({ heads: 6 })), ["LAP_RULE_INDIVISIBLE rules.heads"]);
    deepStrictEqual(codes(withModel({ mlp_dim: 130 })), ["LAP_RULE_INDIVISIBLE rules.mlp"]);
    deepStrictEqual(codes("strategy=tensor", withModel({ vocab_size: 513 }), "zero=0"), ["LAP_RULE_INDIVISIBLE rules.vocab"]);
  });

  it("a rule that the job sets to null has no finding", () => {
    deepStrictEqual(codes(withModel({ vocab_size: 513 }), "rules.vocab=null"), []);
  });

  it("rules on activations have findings: an indivisible sequence, an axis that the batch uses", () => {
    const [seq] = jobWarnings(job("strategy=tensor-sequence", "train.seq=33"));
    match(`${seq?.message} ${seq?.remedy}`, /activation_seq → model has no effect: 33 .*train.seq=32 or 36/);
    const [taken] = jobWarnings(job("rules.activation_seq=data"));
    match(taken?.message ?? "", /activation_seq → data has no effect: data is taken by rule batch → data/);
  });

  it("a strategy that names axes the mesh lacks has a finding", () => {
    const [warning, ...others] = jobWarnings(job("strategy=tensor-zero-3", "mesh={data: 16}", "train.batch=16"));
    deepStrictEqual(others, []);
    strictEqual(warning?.code, "LAP_RULE_AXIS_MISSING");
    match(warning.message, /mlp over model.*no such axis \(it has data=16\)/);
  });

  it("a ZeRO stage without an axis, or with indivisible dims, has a finding", () => {
    deepStrictEqual(codes("mesh={model: 16}", withModel({ heads: 16 })), ["LAP_ZERO_NO_EFFECT zero"]);
    deepStrictEqual(codes("mesh={model: 16}", withModel({ heads: 16 }), "zero=0"), []);
    const odd = withModel({ vocab_size: 513, model_dim: 65, heads: 4, head_dim: 18, mlp_dim: 129 });
    const [warning] = jobWarnings(job("mesh={data: 16}", "train.batch=16", odd));
    strictEqual(warning?.code, "LAP_ZERO_INDIVISIBLE");
    match(warning.message, /no dim that data = 16 divides, such as params\/model.embed_tokens.weight \[513, 65\]; a chip stores/);
  });

  it("a printed and parsed job has the same findings", () => {
    for (const overrides of [
      [withModel({ vocab_size: 513 })],
      ["strategy=tensor-sequence", "train.seq=33"],
      ["strategy=tensor", "mesh={data: 16}", "train.batch=16"],
      ["mesh={data: 4, spare: 4}", "replicate=[spare]"],
    ]) {
      const first = job(...overrides);
      deepStrictEqual(reread(first), first);
      deepStrictEqual(jobWarnings(reread(first)), jobWarnings(first));
    }
  });

  it("the overrides of a finding fix it", () => {
    for (const overrides of [[withModel({ vocab_size: 513 })], [withModel({ vocab_size: 514 })], ["strategy=zero-3", "train.batch=16"]]) {
      const [finding] = shardingFindings(job(...overrides));
      ok((finding?.fixes.length ?? 0) > 0);
      for (const fix of finding?.fixes ?? []) deepStrictEqual(codes(...overrides, fix), [], fix);
    }
  });

  it("a finding calls an axis idle exactly if the axis splits no value of the compiled step", function () {
    this.timeout(120_000);
    fc.assert(
      fc.property(
        fc.record({
          vocab_size: fc.constantFrom(512, 513, 514),
          model_dim: fc.constantFrom(64, 66),
          heads: fc.constantFrom(3, 4, 6),
          mlp_dim: fc.constantFrom(127, 128, 129),
        }),
        fc.constantFrom("{data: 4, model: 4}", "{data: 16}", "{model: 16}", "{data: 2, model: 8}", "{a: 4, model: 4}"),
        fc.constantFrom("batch=data", "batch=null", "batch=model", "activation_seq=model", "embed=data"),
        fc.constantFrom(0, 1, 3),
        fc.constantFrom("data", "zero-3", "tensor", "tensor-sequence", undefined),
        (dims, mesh, rule, zero, strategy) => {
          let given: ResolvedJob;
          let found: string[];
          try {
            const more = strategy === undefined ? [] : [`strategy=${strategy}`];
            const spare = mesh.includes("a:") ? ["replicate=[a]"] : [];
            given = job(withModel(dims), `mesh=${mesh}`, `rules.${rule}`, `zero=${zero}`, "train.batch=16", ...more, ...spare);
            found = shardingFindings(given).flatMap(({ idle }) => idle);
          } catch (error) {
            // Other tests cover rejected jobs.
            fc.pre(!(error instanceof LapidaryError));
            throw error;
          }
          deepStrictEqual(found, idleOf(given));
        },
      ),
      { numRuns: 15 },
    );
  });
});
