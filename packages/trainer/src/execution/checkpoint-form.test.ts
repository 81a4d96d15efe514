import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { smallestGemma } from "@lapidary/models/testing";
import { adapterConfig, checkpointForm, weightsFiles } from "./checkpoint-form.js";

const config = smallestGemma;
type Job = Parameters<typeof checkpointForm>[0];
const job = (more: Partial<Job>): Job =>
  ({ model: { name: "m", config }, mesh: [], rules: {}, train: { init: "/base" }, ...more }) as unknown as Job;
const lora = { rank: 2, alpha: 4, targets: ["q" as const] };
const ppo = { recipe: "rl", rl: { algorithm: "ppo" } } as Partial<Job>;

describe("the form of a checkpoint", () => {
  it("with ppo, the value model has a file of its own with the names of a reward model", () => {
    const [policy, value, ...others] = weightsFiles(checkpointForm(job(ppo)));
    deepStrictEqual([policy?.name, value?.name, others], ["model.safetensors", "value_model.safetensors", []]);
    ok(policy?.tensors.every(({ name, state }) => state === `params/${name}`));
    deepStrictEqual(value?.tensors.at(-1), { name: "score.weight", state: "params/value.score.weight" });
    strictEqual(value?.tensors.length, (policy?.tensors.length ?? 0) + 1);
    strictEqual(weightsFiles(checkpointForm(job({ recipe: "rl", rl: { algorithm: "rloo" } } as Partial<Job>))).length, 1);
  });

  it("with ppo and an adapter, the value model is still whole", () => {
    const [adapter, value] = weightsFiles(checkpointForm(job({ ...ppo, lora })));
    deepStrictEqual([adapter?.name, adapter?.tensors.length, value?.name], ["adapter_model.safetensors", 2, "value_model.safetensors"]);
  });

  it("the adapter of a reward model has its head by the name of PEFT, and PEFT's description names the head", () => {
    const form = checkpointForm(job({ recipe: "reward", lora }));
    const [{ tensors } = { tensors: [] }] = weightsFiles(form);
    deepStrictEqual(tensors.at(-1), { name: "base_model.model.score.weight", state: "params/score.weight" });
    ok(form.kind === "adapter");
    const about = adapterConfig(form) as Record<string, unknown>;
    deepStrictEqual([about["task_type"], about["modules_to_save"], about["base_model_name_or_path"]], ["SEQ_CLS", ["score"], "/base"]);
    const other = checkpointForm(job({ recipe: "dpo", lora }));
    ok(other.kind === "adapter");
    deepStrictEqual(
      [(adapterConfig(other) as Record<string, unknown>)["task_type"], "modules_to_save" in adapterConfig(other)],
      ["CAUSAL_LM", false],
    );
  });
});
