import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { initDirectory } from "./init-checkpoint.js";
import { resolveJob } from "./load-job.js";
import { printJob, type ResolvedJob } from "./resolved-job.js";

const configsDir = fileURLToPath(new URL("../../../../configs", import.meta.url));
const model = `model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
train: { steps: 10, batch: 32, optimizer: { name: adamw, lr: 1e-3 } }
`;
const sft = `recipe: sft
init: base
${model}data:
  train: [{ path: demos.jsonl }, { path: more/refuse.jsonl, share: 0.02, subset: refusal }]
  filters: [schema]
`;

describe("the recipe of a job", () => {
  const runsDirectory = mkdtempSync(join(tmpdir(), "lapidary-runs-"));
  after(() => rmSync(runsDirectory, { recursive: true, force: true }));
  const resolved = (text: string, ...overrides: string[]): ResolvedJob =>
    resolveJob({ text, file: "jobs/mine.yaml", base: "/jobs" }, overrides, { configsDir, base: "/work/here", runsDirectory });
  const checkpoint = (run: string, step: number, isWhole = true): string => {
    const directory = join(runsDirectory, run, "checkpoints", `step-${step}`);
    mkdirSync(directory, { recursive: true });
    if (isWhole) writeFileSync(join(directory, "config.json"), "{}");
    return directory;
  };

  it("a job of sft has absolute paths and defaults, and its printed form resolves to the same job", () => {
    const job = resolved(sft, "lora={rank: 4}");
    deepStrictEqual(
      [job.recipe, job.data.pack, job.data.train?.map(({ path }) => path), job.train.init],
      ["sft", true, ["/jobs/demos.jsonl", "/jobs/more/refuse.jsonl"], "/jobs/base"],
    );
    deepStrictEqual(job.lora, { rank: 4, alpha: 16, targets: ["q", "k", "v", "o", "gate", "up", "down"] });
    deepStrictEqual(resolveJob({ text: printJob(job), file: "job.yaml", base: "/" }, [], { configsDir: "/nowhere", base: "/" }), job);
  });

  it("pretraining is the default, and a resolved job does not name it", () => {
    deepStrictEqual(resolved(`recipe: pretrain\n${model}`), resolved(model));
    strictEqual("recipe" in resolved(model), false);
    strictEqual(resolved(`init: /weights\n${model}`).train.init, "/weights");
  });

  it("init names a run by its last complete checkpoint, or a directory", () => {
    checkpoint("base", 9);
    const last = checkpoint("base", 10);
    checkpoint("base", 11, false);
    strictEqual(resolved(sft).train.init, last);
    strictEqual(resolved(sft.replace("init: base", "init: ./base")).train.init, "/jobs/base");
    strictEqual(initDirectory("base", last, { runsDirectory }), last);
    strictEqual(initDirectory("other", "/jobs/other", { runsDirectory }), "/jobs/other");
  });

  const rl = `${sft.replace("recipe: sft", "recipe: rl").replace("batch: 32", "batch: 64, seq: 32").replace("  filters: [schema]\n", "")}reward:
  - { model: base, weight: 2 }
  - { checker: regex, pattern: "^a" }
  - { checker: ./check.mjs }
rl: { rollout: { max_new_tokens: 8 } }
`;
  const reward = sft.replace("recipe: sft", "recipe: reward");
  const dpo = `${sft.replace("recipe: sft", "recipe: dpo")}dpo: { loss: ipo }\n`;

  it("a job of rl has absolute paths and defaults, and its printed form resolves to the same job", () => {
    const job = resolved(rl);
    deepStrictEqual(
      [job.recipe, job.data.pack, job.rl?.generations, job.rl?.algorithm, job.rl?.truncated],
      ["rl", false, 4, "rloo", "mask"],
    );
    deepStrictEqual(job.reward?.slice(1), [
      { checker: "regex", pattern: "^a", weight: 1 },
      { checker: "/jobs/check.mjs", weight: 1 },
    ]);
    deepStrictEqual(resolveJob({ text: printJob(job), file: "job.yaml", base: "/" }, [], { configsDir: "/nowhere", base: "/" }), job);
  });

  it("a job of dpo has the defaults of its loss, and one of reward has no keys of its own", () => {
    deepStrictEqual(resolved(dpo).dpo, { beta: 0.1, loss: "ipo", smoothing: 0 });
    deepStrictEqual(resolved(dpo.replace(/dpo: \{.*\n/, "")).dpo, { beta: 0.1, loss: "sigmoid", smoothing: 0 });
    strictEqual(resolved(reward).recipe, "reward");
  });

  const ppo = rl.replace("rl: {", "rl: { algorithm: ppo, ppo: { gamma: 0.9 },");

  it("a job of ppo has the defaults of its value model, and no other algorithm has them", () => {
    deepStrictEqual(resolved(ppo).rl?.ppo, { gamma: 0.9, lambda: 0.95, value_weight: 0.1, value_clip: 0.2 });
    deepStrictEqual(resolved(ppo.replace("ppo: { gamma: 0.9 },", "")).rl?.ppo, {
      gamma: 1,
      lambda: 0.95,
      value_weight: 0.1,
      value_clip: 0.2,
    });
    strictEqual("ppo" in (resolved(rl).rl ?? {}), false);
  });

  it("each recipe on examples takes an adapter, and the bound of a ratio may differ below and above", () => {
    for (const text of [sft, rl, reward, dpo]) deepStrictEqual(resolved(text, "lora={rank: 2}").lora?.rank, 2);
    deepStrictEqual(resolved(rl, "rl.clip={low: 0.2, high: 0.3}").rl?.clip, { low: 0.2, high: 0.3 });
  });

  it("a reward model has no centering and no margin by default, and a checker of evaluations has an absolute path", () => {
    deepStrictEqual(resolved(`${reward}reward_model: {}\n`).reward_model, { center: 0, margin: 0 });
    const checked = resolved(rl.replace("rl: {", "rl: { check: { checker: ./held.mjs },"), "train.eval={every: 2}");
    deepStrictEqual(checked.rl?.check, { checker: "/jobs/held.mjs" });
    deepStrictEqual(
      resolveJob({ text: printJob(checked), file: "job.yaml", base: "/" }, [], { configsDir: "/nowhere", base: "/" }),
      checked,
    );
  });

  it("a rollout has no top-k and no top-p, because a cut distribution is not that of the trainer", () => {
    for (const key of ["top_k: 5", "top_p: 0.9"])
      throws(() => resolved(rl.replace("max_new_tokens: 8", `max_new_tokens: 8, ${key}`)), { message: /top_/ });
  });

  const compare = `recipe: compare
candidate: base
baseline: ./start
${model.replace(/train: .*\n/, "")}data: { path: held.jsonl }
judge: { model: base, template: question.md }
`;

  it("a job of compare has absolute paths and defaults, and its printed form resolves to the same job", () => {
    const job = resolved(compare);
    deepStrictEqual(
      [job.baseline, job.judge, job.orders, job.data.eval, job.compare],
      [
        "/jobs/start",
        { model: job.candidate, template: "/jobs/question.md" },
        "both",
        [{ path: "/jobs/held.jsonl" }],
        { max_new_tokens: 16, temperature: 0 },
      ],
    );
    deepStrictEqual([job.train.steps, job.train.batch, job.train.seq], [1, 64, 32]);
    deepStrictEqual(resolved(compare, "compare.batch=32", "compare.seq=16").train.batch, 32);
    deepStrictEqual(resolveJob({ text: printJob(job), file: "job.yaml", base: "/" }, [], { configsDir: "/nowhere", base: "/" }), job);
  });

  it("the mesh must divide the prompts that a model answers together", () => {
    throws(() => resolved(compare, "compare.batch=24"), { code: "LAP_MESH_INDIVISIBLE", location: "override compare.batch=24" });
  });

  it("the mesh must divide the pairs and the prompts of a batch", () => {
    throws(() => resolved(reward, "train.batch=48"), { code: "LAP_MESH_INDIVISIBLE", message: /rows of a pair/ });
    throws(() => resolved(rl, "train.batch=32"), { code: "LAP_MESH_INDIVISIBLE", message: /rows of a prompt/ });
  });

  for (const [what, text, says] of [
    ["of rl without a reward", rl.replace(/reward:[^]*(?=rl:)/, ""), /needs a reward/],
    ["of rl without a rollout", rl.replace(/rl: \{.*\n/, ""), /needs rl\.rollout\.max_new_tokens/],
    ["of rl with an unknown checker", rl.replace("checker: regex", "checker: regexp"), /no checker regexp/],
    ["of rl with one completion", rl.replace("rl: {", "rl: { generations: 1,"), /compares the completions/],
    ["of rl with a reduction of another algorithm", rl.replace("rl: {", "rl: { reduction: dapo,"), /rloo has no reduction/],
    ["of rl without room for a prompt", rl.replace("max_new_tokens: 8", "max_new_tokens: 32"), /a row has 32 tokens/],
    ["of reward with packing", reward.replace("  filters", "  pack: true\n  filters"), /one example/],
    ["of reward with a sample", `${reward}sample: {}\n`, /writes no text/],
    ["of rl with a KL weight of another algorithm", rl.replace("rl: {", "rl: { kl_weight: true,"), /rloo has no kl_weight/],
    ["of rl with a value model of another algorithm", rl.replace("rl: {", "rl: { ppo: {},"), /rloo has no ppo/],
    ["of rl with an unknown checker of evaluations", rl.replace("rl: {", "rl: { check: { checker: exac },"), /no checker exac|its end/],
    ["of rl with a checker of one evaluation", rl.replace("rl: {", "rl: { check: { checker: exact },"), /at its end/],
    ["of dpo with the loss of a reward model", `${dpo}reward_model: {}\n`, /reward_model is not a key of the recipe dpo/],
    ["of sft with a reward", `${sft}reward: [{ checker: sorted }]\n`, /reward is not a key of the recipe sft/],
    ["without examples", sft.replace(/^data:[^]*/m, ""), /needs data\.train/],
    ["without a checkpoint", sft.replace("init: base\n", ""), /needs a checkpoint/],
    ["with two checkpoints", sft.replace("train: {", "train: { init: /a,"), /twice/],
    ["with a corpus", sft.replace("\ndata:", "\ndata:\n  corpus: /a"), /data\.corpus is not a key/],
    ["with a new tokenizer", sft.replace("\ndata:", "\ndata:\n  tokenizer: train"), /does not train a tokenizer/],
    ["with a filter that has nothing to compare with", sft.replace("schema", "contamination"), /needs data\.eval/],
    ["with an adapter of pretraining", `${model}lora: {}\n`, /lora is not a key of the recipe pretrain/],
    ["of compare without a baseline", compare.replace(/baseline.*\n/, ""), /needs baseline/],
    ["of compare without prompts", compare.replace(/^data: .*\n/m, ""), /data\.path/],
    [
      "of compare with a training",
      `${compare}train: { steps: 1 }\n`.replace("{ steps: 1 }", "{ steps: 1, batch: 16, optimizer: { name: sgd, lr: 1 } }"),
      /train is not a key/,
    ],
    ["of compare with init", `${compare}init: base\n`, /init is not a key of the recipe compare/],
    ["of compare with an unknown checker", compare.replace(/judge.*\n/, "judge: { checker: sort }\n"), /no checker sort/],
    ["of compare with orders of a checker", compare.replace(/judge.*\n/, "judge: { checker: sorted }\norders: both\n"), /sees an order/],
    ["of compare with the optimum of greedy answers", `${compare}compare: { optimum: { beta: 1 } }\n`, /property of samples/],
    ["of compare without room for a prompt", `${compare}compare: { max_new_tokens: 32 }\n`, /the maximum is 31/],
    ["of sft with a candidate", `${sft}candidate: base\n`, /candidate is not a key of the recipe sft/],
    ["of sft with a path of prompts", sft.replace("\ndata:", "\ndata:\n  path: held.jsonl"), /data\.path is not a key/],
    ["with an unknown recipe", sft.replace("recipe: sft", "recipe: stf"), /expected one of pretrain, sft, reward, rl, dpo, compare/],
  ] as const)
    it(`a job ${what} is refused`, () => {
      throws(() => resolved(text), { code: "LAP_CONFIG_VALUE", message: says });
    });
});
