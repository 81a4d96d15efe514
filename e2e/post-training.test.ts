import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { readSafetensors } from "@lapidary/interop";
import { Home } from "./support/cli.js";
import { checkpointOf, committedSteps, type CommittedStep } from "./support/committed-steps.js";

const model = `model: { vocab_size: 300, model_dim: 32, layers: 2, heads: 4, kv_heads: 4, head_dim: 8, mlp_dim: 64, context_length: 64 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
zero: 3
workers: 2
`;
const baseJob = `${model}train: { steps: 2, batch: 4, optimizer: { name: adamw, lr: 0.003 } }
data: { corpus: corpus, held_out: 0.2 }
`;
const pairsJob = (recipe: string, more = ""): string => `recipe: ${recipe}
init: base
${model}train: { steps: 12, batch: 8, seq: 24, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: pairs.jsonl }], eval: [{ path: pairs.jsonl }] }
${more}`;
const rlJob = (reward: string, more = ""): string => `recipe: rl
init: base
${model}train: { steps: 6, batch: 16, seq: 24, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: prompts.jsonl }], eval: [{ path: prompts.jsonl }] }
reward: ${reward}
rl: { algorithm: rloo, generations: 4, beta: 0.05, truncated: score, rollout: { max_new_tokens: 4 }${more} }
checkpoint: { every: 4 }
`;
const checker = `[{ checker: ./large.mjs }]`;
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join("\n");
/** A better answer has two letters a. */
const pairs = Array.from({ length: 16 }, (_, n) => ({ prompt: `${n}`, chosen: `aa${n}`, rejected: `zz${n}` }));
const prompts = Array.from({ length: 12 }, (_, n) => ({ prompt: `${n}` }));
/** The share of lower-case letters, so that a random answer has a chance. */
const large = `export function check({ answer }) { return [...answer].filter((c) => c >= "a" && c <= "z").length / 4 }\n`;

interface MetricsRow {
  readonly kind: string;
  readonly metrics?: Readonly<Record<string, number>>;
}
const metricsOf = (home: Home, run: string, kind: string): Readonly<Record<string, number>>[] =>
  readFileSync(join(home.state, "runs", run, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as MetricsRow & { value?: MetricsRow })
    .map((line) => line.value ?? line)
    .filter((row) => row.kind === kind)
    .map(({ metrics = {} }) => metrics);

describe("recipes on preferences and rewards", function () {
  this.timeout(300_000);
  let home: Home;
  const write = (of: Home, name: string, text: string): string => {
    const path = join(of.directory, name);
    writeFileSync(path, text);
    return path;
  };
  const add = (of: Home): void => {
    write(of, "pairs.jsonl", lines(pairs));
    write(of, "prompts.jsonl", lines(prompts));
    write(of, "large.mjs", large);
  };

  before(async () => {
    home = new Home();
    add(home);
    await home.json("up");
    await home.json("launch", write(home, "base.yaml", baseJob), "--name", "base");
  });
  after(() => home.clear());

  it("a reward model learns 16 pairs, and its checkpoint has the weights of its score", async () => {
    const { report } = (await home.json("launch", write(home, "reward.yaml", pairsJob("reward")), "--name", "rm")) as {
      report: { heldout_loss: number; unigram_loss: number };
    };
    const steps = committedSteps(home, "rm");
    ok((steps.at(-1)?.loss ?? 9) < 0.5 * (steps[0]?.loss ?? 0), JSON.stringify(steps.map(({ loss }) => loss)));
    ok(report.heldout_loss < report.unigram_loss);
    const [evaluated] = metricsOf(home, "rm", "eval");
    ok((evaluated?.["accuracy"] ?? 0) > 0.9, JSON.stringify(evaluated));
    equal(metricsOf(home, "rm", "train").length, 12);
    const directory = checkpointOf(home, "rm", 12);
    deepStrictEqual((await readSafetensors(join(directory, "model.safetensors"))).get("score.weight")?.dims, [1, 32]);
    match(readFileSync(join(directory, "config.json"), "utf8"), /GemmaForSequenceClassification/);
  });

  it("a run of rl has metrics and samples of its answers, with a checker and with a reward model", async () => {
    await home.json("launch", write(home, "rl.yaml", rlJob(checker)), "--name", "whole");
    const rows = metricsOf(home, "whole", "train");
    equal(rows.length, 6);
    ok(
      rows.every((row) => ["reward", "kl", "entropy", "length"].every((name) => Number.isFinite(row[name]))),
      JSON.stringify(rows),
    );
    equal(rows[0]?.["kl"], 0);
    ok((rows.at(-1)?.["kl"] ?? 0) > 0);
    const samples = (await home.events("whole")).filter(isOfType("completions_sampled"));
    const [sampled] = samples;
    deepStrictEqual([sampled?.step, sampled?.completions.length], [1, 4]);
    const heldout = samples.filter(({ split }) => split === "heldout");
    deepStrictEqual([heldout.length, new Set(heldout.map(({ completions }) => completions[0]?.prompt)).size], [4, 4]);
    for (const { step, completions } of heldout) {
      deepStrictEqual([step, completions.length], [6, 4]);
      ok(completions.every(({ finish_reason }) => finish_reason === "stop" || finish_reason === "length"));
    }
    await home.json("launch", write(home, "rm-rl.yaml", rlJob("[{ model: rm, scale: 0.1 }]", ", iterations: 2")), "--name", "scored");
    ok(metricsOf(home, "scored", "train").every((row) => row["reward"] !== 0));
  });

  it("a run of rl whose worker and coordinator are killed has the digests of the run that was not interrupted", async () => {
    const fired = join(home.directory, "fired");
    mkdirSync(fired);
    const failpoints = ["backward-middle@3,1:kill", "after-commit@5,c:kill"];
    const other = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired });
    try {
      add(other);
      await other.json("up");
      await other.run(
        "launch",
        write(other, "rl.yaml", rlJob(checker).replace("init: base", `init: ${checkpointOf(home, "base", 2)}`)),
        "--name",
        "killed",
      );
      await other.json("up");
      for (let state = ""; state !== "done"; ) {
        ({ state } = (await other.json("jobs", "get", "killed")) as { state: string });
        ok(!["failed", "cancelled"].includes(state), state);
      }
      equal(readdirSync(fired).length, 2);
      const last = (rows: readonly CommittedStep[]): (readonly [number, string])[] => [
        ...new Map(rows.map(({ step, digest }) => [step, digest])),
      ];
      deepStrictEqual(last(committedSteps(other, "killed")), last(committedSteps(home, "whole")));
    } finally {
      await other.clear();
    }
  });

  it("direct preference optimization starts at the loss of chance and lowers it", async () => {
    const job = pairsJob("dpo", "dpo: { beta: 0.5 }\nsample: { prompt: '1', tokens: 4 }\n");
    const { report } = (await home.json("launch", write(home, "dpo.yaml", job), "--name", "dpo")) as {
      report: { heldout_loss: number; unigram_loss: number };
    };
    const steps = committedSteps(home, "dpo");
    ok(Math.abs((steps[0]?.loss ?? 0) - Math.LN2) < 1e-5);
    ok(
      (steps.at(-1)?.loss ?? 9) < 0.5 * Math.LN2 && report.heldout_loss < report.unigram_loss,
      JSON.stringify(steps.map(({ loss }) => loss)),
    );
  });

  it("plan, explain, config show and config validate read the jobs", async () => {
    for (const name of ["reward.yaml", "rl.yaml", "dpo.yaml"])
      for (const command of [["plan"], ["explain"], ["config", "show"], ["config", "validate"]]) {
        const { code, stdout, stderr } = await home.run(...command, join(home.directory, name));
        equal(code, 0, `${command.join(" ")} ${name}: ${stdout}\n${stderr}`);
      }
  });
});
