import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ModelComparison } from "@lapidary/api";
import { isOfType } from "@lapidary/api/run-events";
import { Home } from "./support/cli.js";
import { committedSteps } from "./support/committed-steps.js";

const shared = `model: { vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 4, head_dim: 8, mlp_dim: 64, context_length: 64 }, pod: { torus: 2x2, chip: v5e, host: 2x2 }, mesh: { data: 2, model: 2 }, zero: 3, workers: 2, trace_every: 0`;
const optimizer = "optimizer: { name: adamw, lr: 0.01 }";
const prompts = "data: { train: [{ path: prompts.jsonl }] }";
const comparison = (candidate: string, baseline: string, judge: string, more = ""): string =>
  `recipe: compare, candidate: ${candidate}, baseline: ${baseline}, ${shared}, data: { path: held.jsonl }, judge: ${judge}, compare: { max_new_tokens: 4, temperature: 1, batch: 8, seq: 28${more} }`;

/** The kind of the pipeline sort5, with few steps. */
const pipeline = `jobs:
  base: { job: { ${shared}, train: { steps: 2, batch: 4, seq: 28, ${optimizer} }, data: { corpus: corpus, held_out: 0.2 } } }
  sft: { needs: [base], job: { recipe: sft, init: base, ${shared}, train: { steps: 4, batch: 4, seq: 28, ${optimizer} }, data: { train: [{ path: demos.jsonl }], eval: [{ path: held.jsonl }] } } }
  rm: { needs: [sft], job: { recipe: reward, init: sft, ${shared}, train: { steps: 6, batch: 8, seq: 28, ${optimizer} }, data: { train: [{ path: pairs.jsonl }] } } }
  policy: { needs: [sft, rm], job: { recipe: rl, init: sft, ${shared}, train: { steps: 3, batch: 16, seq: 28, ${optimizer} }, ${prompts}, reward: [{ model: rm }, { checker: sorted }], rl: { generations: 4, truncated: score, rollout: { max_new_tokens: 4 } } } }
  checked: { needs: [policy], job: { ${comparison("policy", "sft", "{ checker: sorted }", ", optimum: { beta: 0.5 }")} } }
  scored: { needs: [policy, rm], job: { ${comparison("policy", "sft", "{ reward: rm }")} } }
  judged: { needs: [policy], job: { ${comparison("policy", "sft", "{ model: base, seq: 32, template: question.md }")} } }
`;
const runs = ["base", "sft", "rm", "policy"];
const lines = (count: number, row: (n: number) => object): string =>
  Array.from({ length: count }, (_, n) => JSON.stringify(row(n))).join("\n");
const digits = (n: number): string => `${9 - (n % 7)}${n % 5}`;
const ascending = (text: string): string => [...text].sort().join("");

interface Detail {
  readonly state: string;
  readonly report: { readonly comparison: ModelComparison };
}

describe("a pipeline from fine-tuning to comparisons", function () {
  this.timeout(300_000);
  const whole = new Home();
  const add = (home: Home): string => {
    const write = (name: string, text: string): string => {
      writeFileSync(join(home.directory, name), text);
      return join(home.directory, name);
    };
    write(
      "demos.jsonl",
      lines(24, (n) => ({ prompt: digits(n), completion: ascending(digits(n)) })),
    );
    write(
      "pairs.jsonl",
      lines(24, (n) => ({ prompt: digits(n), chosen: ascending(digits(n)), rejected: digits(n) })),
    );
    write(
      "prompts.jsonl",
      lines(24, (n) => ({ prompt: digits(n) })),
    );
    write(
      "held.jsonl",
      lines(20, (n) => ({ prompt: digits(n + 3), completion: ascending(digits(n + 3)), subset: n % 2 === 0 ? "even" : "odd" })),
    );
    write("question.md", "{{prompt}}{{answer_a}}{{answer_b}}?");
    return write("p.yaml", pipeline);
  };
  const comparisonOf = async (home: Home, job: string): Promise<ModelComparison> =>
    ((await home.json("jobs", "get", `p-${job}`)) as unknown as Detail).report.comparison;

  before(async () => {
    const file = add(whole);
    await whole.json("up");
    const { code, stderr } = await whole.run("launch", file, "--name", "p");
    equal(code, 0, stderr);
  });
  after(() => whole.clear());

  it("jobs name the models and the reward model of jobs that ran before", async () => {
    const loaded = (await whole.events("p-policy")).find(isOfType("weights_loaded"));
    match(loaded?.path ?? "", /p-sft\/checkpoints\/step-4$/);
    const { candidate, baseline, source } = await comparisonOf(whole, "scored");
    deepStrictEqual([candidate.run, candidate.step, baseline.run, source], ["p-policy", 3, "p-sft", { kind: "reward", reward: "p-rm" }]);
  });

  it("the report of a comparison has win rates with intervals by subset, the KL and the optimum", async () => {
    const { sets } = await comparisonOf(whole, "checked");
    const [set] = sets;
    deepStrictEqual([set?.prompts, Object.keys(set?.result_by_subset ?? {}), set?.result?.n], [20, ["even", "odd"], 20]);
    const { rate = -1, wilson95 = [1, 0], scores } = set?.result ?? {};
    ok(wilson95[0] <= rate && rate <= wilson95[1] && scores !== null);
    ok(Number.isFinite(set?.divergence?.nats_per_answer) && (set?.divergence?.nats_per_answer ?? 0) !== 0);
    const { baseline_probability: p = 1, accuracy = 0 } = set?.optimum ?? {};
    ok(accuracy > p && accuracy < 8 * p, `${p} ${accuracy}`);
    const directory = join(whole.state, "runs", "p-checked");
    equal(readFileSync(join(directory, "answers.jsonl"), "utf8").trimEnd().split("\n").length, 20);
    match(readFileSync(join(directory, "comparison.txt"), "utf8"), /best policy for β 0.5/);
  });

  it("a reward model and a judge decide too", async () => {
    const [scored, judged] = [await comparisonOf(whole, "scored"), await comparisonOf(whole, "judged")];
    ok(scored.sets[0]?.result?.scores !== null && scored.sets[0]?.result?.n === 20);
    equal(judged.source.kind, "judge");
    ok((judged.sets[0]?.result?.mean_mass ?? 0) > 0);
  });

  it("the offline command gives the answers of the job", async () => {
    const out = join(whole.directory, "answers.jsonl");
    const { stderr, code } = await whole.run(
      ...["compare", "p-policy", "p-sft", "--data", "held.jsonl", "--checker", "sorted"],
      ...["--max-tokens", "4", "--temperature", "1", "--out", out],
    );
    equal(code, 0, stderr);
    const answers = (path: string): unknown =>
      readFileSync(path, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { id: string; answers: string; outcome: string })
        .map(({ id, answers: digest, outcome }) => [id, digest, outcome]);
    deepStrictEqual(answers(out), answers(join(whole.state, "runs", "p-checked", "answers.jsonl")));
  });

  it("jobs wait and jobs get take a pipeline: the table has its comparisons", async () => {
    const waited = await whole.run("jobs", "wait", "p");
    equal(waited.code, 0, waited.stderr);
    match((await whole.run("jobs", "get", "p")).stdout, /checked\s+p-policy\s+p-sft\s+0\.\d{3}/);
    const { comparisons } = (await whole.json("jobs", "get", "p")) as { comparisons: Readonly<Record<string, ModelComparison>> };
    deepStrictEqual(Object.keys(comparisons), ["checked", "scored", "judged"]);
  });

  it("a pipeline whose worker and coordinator are killed in different jobs has the digests and reports of one that was not interrupted", async () => {
    const fired = join(whole.directory, "fired");
    mkdirSync(fired);
    // In order: a worker of sft, the coordinator in rm, workers of the first comparison, the coordinator in that comparison.
    const failpoints = ["backward-middle@3,1:kill", "after-commit@5,c:kill", "before-unit@2,c:throw", "after-unit@3,c:kill"];
    const killed = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired });
    try {
      const file = add(killed);
      await killed.json("up");
      await killed.run("launch", file, "--name", "p");
      for (let starts = 0; starts < 2; starts++) {
        await killed.json("up");
        const { code } = await killed.run("jobs", "wait", "p");
        if (code === 0) break;
      }
      equal(((await killed.json("jobs", "get", "p")) as { state: string }).state, "done");
      equal(readdirSync(fired).length, 4);
      for (const run of runs) {
        const digests = (home: Home): unknown => [...new Map(committedSteps(home, `p-${run}`).map(({ step, digest }) => [step, digest]))];
        deepStrictEqual(digests(killed), digests(whole), run);
      }
      for (const job of ["checked", "scored", "judged"]) {
        const results = async (home: Home): Promise<unknown> =>
          (await comparisonOf(home, job)).sets.map(({ data: _, samples: __, ...rest }) => rest);
        deepStrictEqual(await results(killed), await results(whole), job);
      }
      ok(existsSync(join(killed.state, "runs", "p-checked", "units.jsonl")));
    } finally {
      await killed.clear();
    }
  });

  it("plan, explain, config show and config validate read a comparison", async () => {
    const path = join(whole.directory, "compare.yaml");
    writeFileSync(path, `{ ${comparison("p-policy", "p-sft", "{ checker: sorted }")} }`);
    for (const command of [["plan"], ["explain"], ["config", "show"], ["config", "validate"]]) {
      const { code, stdout, stderr } = await whole.run(...command, path);
      equal(code, 0, `${command.join(" ")}: ${stdout}\n${stderr}`);
    }
  });
});
