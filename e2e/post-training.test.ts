import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { readSafetensors } from "@lapidary/interop";
import { Home } from "./support/cli.js";
import { checkpointOf, committedSteps, lastDigests } from "./support/committed-steps.js";
import { addExamples, checker, jobsOf, metricsOf, modelOf, writeFile } from "./support/recipe-jobs.js";

const { base: baseJob, pairs: pairsJob, rl: rlJob } = jobsOf(modelOf(2, "{ data: 2, model: 2 }", "2x2"));

describe("recipes on preferences and rewards", function () {
  this.timeout(300_000);
  let home: Home;
  before(async () => {
    home = new Home();
    addExamples(home);
    await home.json("up");
    await home.json("launch", writeFile(home, "base.yaml", baseJob), "--name", "base");
  });
  after(() => home.clear());

  it("a reward model learns 16 pairs, and its checkpoint has the weights of its score", async () => {
    const { report } = (await home.json("launch", writeFile(home, "reward.yaml", pairsJob("reward")), "--name", "rm")) as {
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
    await home.json("launch", writeFile(home, "rl.yaml", rlJob(checker)), "--name", "whole");
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
    await home.json("launch", writeFile(home, "rm-rl.yaml", rlJob("[{ model: rm, scale: 0.1 }]", ", iterations: 2")), "--name", "scored");
    ok(metricsOf(home, "scored", "train").every((row) => row["reward"] !== 0));
  });

  it("a run with sharded weights has the digests of the run that gathers its weights once for a rollout", async () => {
    const job = writeFile(home, "sharded.yaml", rlJob(checker).replace("max_new_tokens: 4", "max_new_tokens: 4, weights: sharded"));
    await home.json("launch", job, "--name", "sharded");
    const chosen = async (run: string): Promise<string[]> => {
      const { variants } = (await home.json("plan", run)) as { variants: { name: string; is_chosen: boolean }[] };
      return variants.flatMap(({ name, is_chosen }) => (is_chosen ? [name] : []));
    };
    deepStrictEqual([await chosen("whole"), await chosen("sharded")], [["rl.rollout.weights=gathered"], ["rl.rollout.weights=sharded"]]);
    const digests = (run: string): (readonly [number, string])[] =>
      committedSteps(home, run).map(({ step, digest }) => [step, digest] as const);
    equal(digests("sharded").length, 6);
    deepStrictEqual(digests("sharded"), digests("whole"));
  });

  it("plan adds up the programs of a step, and explain names and explains each program of a run", async () => {
    const { programs, step_time_s } = (await home.json("plan", "scored")) as {
      programs: { name: string; runs: number; time_s: number; hbm_bytes: { resident: object } }[];
      step_time_s: number;
    };
    deepStrictEqual(
      programs.map(({ name, runs }) => `${runs} ${name}`),
      ["1 gather_rollout", "1 rollout_prefill", "3 rollout_decode", "1 score", "1 rollout_logprobs", "2 rl_step"],
    );
    ok(Math.abs(programs.reduce((sum, { runs, time_s }) => sum + runs * time_s, 0) / step_time_s - 1) < 1e-9);
    const one = (await home.json("plan", "scored", "--program", "rollout_decode")) as { step_time_s: number };
    equal(one.step_time_s, programs[2]?.time_s);
    const gathers = async (program: string): Promise<number> => {
      const explained = (await home.json("explain", "scored", "--program", program)) as { collectives: { op: string; why: string }[] };
      return explained.collectives.filter(({ op, why }) => op === "all_gather" && why !== "").length;
    };
    ok((await gathers("gather_rollout")) > 0);
    equal(await gathers("rollout_decode"), 0);
    match((await home.run("explain", "scored")).stdout, /another program of the job: .*rollout_decode/);
    for (const command of ["plan", "explain"]) {
      const { code, stderr } = await home.run(command, "scored", "--program", "decode");
      equal(code, 2);
      match(stderr, /LAP_PROGRAM_UNKNOWN: the job has no program "decode"[^]*programs are rl_step,/);
    }
  });

  it("a run of rl whose worker and coordinator are killed has the digests of the run that was not interrupted", async () => {
    const fired = join(home.directory, "fired");
    mkdirSync(fired);
    const failpoints = ["backward-middle@3,1:kill", "after-commit@5,c:kill"];
    const other = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired });
    try {
      addExamples(other);
      await other.json("up");
      await other.run(
        "launch",
        writeFile(other, "rl.yaml", rlJob(checker).replace("init: base", `init: ${checkpointOf(home, "base", 2)}`)),
        "--name",
        "killed",
      );
      await other.json("up");
      await other.untilDone("killed");
      equal(readdirSync(fired).length, 2);
      deepStrictEqual(lastDigests(other, "killed"), lastDigests(home, "whole"));
    } finally {
      await other.clear();
    }
  });

  it("direct preference optimization starts at the loss of chance and lowers it", async () => {
    const job = pairsJob("dpo", "dpo: { beta: 0.5 }\nsample: { prompt: '1', tokens: 4 }\n");
    const { report } = (await home.json("launch", writeFile(home, "dpo.yaml", job), "--name", "dpo")) as {
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
