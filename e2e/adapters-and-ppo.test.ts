import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { readSafetensors } from "@lapidary/interop";
import { Home } from "./support/cli.js";
import { checkpointOf, lastDigests } from "./support/committed-steps.js";
import { addExamples, checker, jobsOf, metricsOf, modelOf, writeFile } from "./support/recipe-jobs.js";

const jobs = jobsOf(modelOf(1, "{ data: 2 }", "2x1"));
const lora = "lora: { rank: 2, targets: [q, down] }\n";
const ppoJob = (reward: string): string =>
  jobs
    .rl(reward, ", iterations: 2, check: { checker: ./large.mjs }")
    .replace("rloo", "ppo")
    .replace("steps: 6,", "steps: 3, eval: { every: 2 },");
const adapterJob = (init: string): string =>
  `${jobs.rl(checker, ", iterations: 2").replace("rloo", "grpo").replace("init: base", `init: ${init}`).replace("steps: 6", "steps: 5")}${lora}`;

describe("adapters and value models", function () {
  this.timeout(600_000);
  let home: Home;
  const launch = (name: string, job: string): Promise<Record<string, unknown>> =>
    home.json("launch", writeFile(home, `${name}.yaml`, job), "--name", name);

  before(async () => {
    home = new Home();
    addExamples(home);
    await home.json("up");
    await launch("base", jobs.base);
  });
  after(() => home.clear());

  it("an adapter over the adapter of another run starts with a KL of 0, because the reference keeps the first adapter", async () => {
    await launch("dpo", `${jobs.pairs("dpo", "dpo: { beta: 0.5 }\n")}${lora}`);
    const [first] = metricsOf(home, "dpo", "train");
    ok(Math.abs(first?.["reward_chosen"] ?? 9) < 1e-4 && (first?.["logp_chosen"] ?? 0) < -1, JSON.stringify(first));
    ok((metricsOf(home, "dpo", "train").at(-1)?.["margin"] ?? 0) > 0.1);
    equal(readdirSync(join(home.state, "cache", "reference-log-probs")).length, 1);
    await launch("adapter", adapterJob("dpo"));
    const rows = metricsOf(home, "adapter", "train");
    equal(rows[0]?.["kl"], 0);
    ok((rows.at(-1)?.["kl"] ?? 0) > 0, JSON.stringify(rows.at(-1)));
    const directory = checkpointOf(home, "adapter", 5);
    deepStrictEqual([...(await readSafetensors(join(directory, "adapter_model.safetensors"))).keys()].sort(), [
      "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight",
      "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight",
      "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
      "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
    ]);
    const about = JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    equal(about["base_model_name_or_path"], checkpointOf(home, "dpo", 12));
    equal((await home.run("ckpt", "verify", "adapter")).code, 0);
    equal((await home.run("sample", "adapter", "1", "--tokens", "2")).code, 0);
  });

  it("ppo trains a value model from an adapter of a reward model, and evaluations have the checker", async () => {
    await launch("rm", `${jobs.pairs("reward", "reward_model: { center: 0.01, margin: 0.1 }\n")}${lora}`);
    const [evaluated] = metricsOf(home, "rm", "eval");
    ok((evaluated?.["accuracy_equal_length"] ?? 0) > 0.9 && Number.isFinite(evaluated?.["score_mean"]), JSON.stringify(evaluated));
    await launch("ppo", ppoJob("[{ model: rm, scale: 0.1 }]"));
    const rows = metricsOf(home, "ppo", "train");
    ok(
      rows.every((row) =>
        ["value_loss", "explained_variance", "value_clip", "clip_low", "update_ms"].every((each) => Number.isFinite(row[each])),
      ),
      JSON.stringify(rows[0]),
    );
    ok(metricsOf(home, "ppo", "eval").every((row) => Number.isFinite(row["check"]) && Number.isFinite(row["reward_model"])));
    const value = await readSafetensors(join(checkpointOf(home, "ppo", 3), "value_model.safetensors"));
    ok([...(value.get("score.weight")?.data ?? [])].some((each) => each !== 0));
    ok(existsSync(join(checkpointOf(home, "ppo", 3), "model.safetensors")));
    equal((await home.run("ckpt", "verify", "ppo")).code, 0);
  });

  it("runs whose workers are killed in a rollout and between two updates on it have the digests of the runs that were not interrupted", async () => {
    const fired = join(home.directory, "fired");
    mkdirSync(fired);
    // `forward` is in the second update of a step. The run of ppo has 3 steps, and that of the adapter has 5.
    const failpoints = ["after-inference@2,1:kill", "forward@3,0:kill", "after-inference@4,0:kill", "forward@5,1:kill"];
    const other = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired });
    try {
      addExamples(other);
      await other.json("up");
      const ppo = ppoJob(`[{ model: ${checkpointOf(home, "rm", 12)}, scale: 0.1 }]`).replace(
        "init: base",
        `init: ${checkpointOf(home, "base", 2)}`,
      );
      await other.json("launch", writeFile(other, "ppo.yaml", ppo), "--name", "ppo");
      await other.json("launch", writeFile(other, "adapter.yaml", adapterJob(checkpointOf(home, "dpo", 12))), "--name", "adapter");
      equal(readdirSync(fired).length, 4);
      for (const run of ["ppo", "adapter"]) {
        deepStrictEqual(lastDigests(other, run), lastDigests(home, run));
        ok((await other.events(run)).filter(isOfType("state_restored")).length >= 3);
      }
    } finally {
      await other.clear();
    }
  });
});
