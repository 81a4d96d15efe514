import { deepStrictEqual, ok } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelConfigToHf, writeHfCheckpoint, writeSafetensors } from "@lapidary/interop";
import { buildModel, paramsOf, type ParamSpec } from "@lapidary/models";
import { smallestGemma } from "@lapidary/models/testing";
import { scoreParams } from "@lapidary/post-training";
import type { ResolvedJob } from "@lapidary/training";
import { initializeValueModel } from "./value-model.js";

const config = smallestGemma;
const filled = ({ name, dims }: ParamSpec, value: number) =>
  [name, { dtype: "f32" as const, dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value) }] as const;

describe("the value model of ppo", () => {
  const root = mkdtempSync(join(tmpdir(), "lapidary-value-"));
  after(() => rmSync(root, { recursive: true, force: true }));
  const [policy, reward] = [join(root, "policy"), join(root, "reward")];
  before(async () => {
    await writeHfCheckpoint(policy, config, new Map(paramsOf(config).map((spec) => filled(spec, 1))));
    await writeHfCheckpoint(reward, config, new Map(paramsOf(config).map((spec) => filled(spec, 2))));
    const tensors = scoreParams(buildModel(config)).map((spec) => filled(spec, 2));
    await writeSafetensors(join(reward, "model.safetensors"), new Map(tensors), { format: "pt" });
    writeFileSync(join(reward, "config.json"), JSON.stringify(modelConfigToHf(config)));
  });

  /** The value of all elements of each state. */
  async function statesWith(models: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, number>> {
    const states = new Map<string, number>();
    const job = { model: { name: "m", config }, train: { init: policy } } as unknown as ResolvedJob;
    await initializeValueModel(job, models, async (some) => {
      for (const [name, { data }] of some) states.set(name, data[0] ?? Number.NaN);
    });
    return states;
  }

  it("its trunk is that of the reward model, or else of the policy, and its head is zero", async () => {
    for (const [models, trunk] of [
      [new Map([["reward0", reward]]), 2],
      [new Map<string, string>(), 1],
    ] as const) {
      const states = await statesWith(models);
      deepStrictEqual(states.get("params/value.score.weight"), 0);
      const others = [...states].filter(([name]) => name !== "params/value.score.weight");
      deepStrictEqual(others.length, paramsOf(config).length);
      ok(others.every(([name, value]) => name.startsWith("params/value.") && value === trunk));
    }
  });
});
