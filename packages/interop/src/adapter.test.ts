import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type LoraConfig, buildModel, loraParams, paramsOf, type ParamSpec } from "@lapidary/models";
import { smallestGemma } from "@lapidary/models/testing";
import { ensure } from "@lapidary/std";
import { readAdapterHead } from "./adapter.js";
import type { ArrayData } from "./array-data.js";
import { HfCheckpoint, writeHfCheckpoint } from "./hf-checkpoint.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";

const config = smallestGemma;
const lora: LoraConfig = { rank: 2, alpha: 6, targets: ["q_proj", "down_proj"] };
const changed = "model.layers.0.mlp.down_proj.weight";
const arrayOf = ({ dims }: Pick<ParamSpec, "dims">, value: (i: number) => number): ArrayData => ({
  dtype: "f32",
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});

describe("an adapter as a checkpoint", () => {
  const root = mkdtempSync(join(tmpdir(), "lapidary-adapter-"));
  after(() => rmSync(root, { recursive: true, force: true }));
  const base = join(root, "base");
  before(() => writeHfCheckpoint(base, config, new Map(paramsOf(config).map((spec) => [spec.name, arrayOf(spec, (i) => i % 5)]))));

  /** An adapter whose elements of A and B are all `a` and `b`. */
  async function write(
    name: string,
    under: string,
    [a, b]: readonly [number, number],
    more: { config?: object; head?: boolean } = {},
  ): Promise<string> {
    const directory = join(root, name);
    mkdirSync(directory, { recursive: true });
    const about = { peft_type: "LORA", base_model_name_or_path: under, r: lora.rank, lora_alpha: lora.alpha, ...more.config };
    writeFileSync(join(directory, "adapter_config.json"), JSON.stringify(about));
    const tensors = loraParams(buildModel(config), lora).map((spec): [string, ArrayData] => [
      spec.name,
      arrayOf(spec, () => (spec.name.includes("lora_A") ? a : b)),
    ]);
    if (more.head === true) tensors.push(["base_model.model.score.weight", arrayOf({ dims: [1, 4] }, (i) => i)]);
    await writeSafetensors(join(directory, "adapter_model.safetensors"), new Map(tensors), { format: "pt" });
    return directory;
  }

  async function weightsOf(directory: string): Promise<ReadonlyMap<string, readonly number[]>> {
    const checkpoint = await HfCheckpoint.open(directory);
    try {
      const weights = new Map<string, readonly number[]>();
      for (const { name } of checkpoint.params) weights.set(name, [...(await checkpoint.read(name)).data]);
      return weights;
    } finally {
      await checkpoint.close();
    }
  }

  it("its weights are those of the base model plus alpha / rank · B·A, and other weights are unchanged", async () => {
    const [before, merged] = [await weightsOf(base), await weightsOf(await write("one", base, [0.5, 2]))];
    // alpha / rank · Σ over the rank of B·A = 3 · (2 · 0.5 · 2)
    deepStrictEqual(
      merged.get(changed),
      before.get(changed)?.map((value) => value + 6),
    );
    const norm = "model.norm.weight";
    deepStrictEqual(merged.get(norm), before.get(norm));
    deepStrictEqual(merged.get("model.layers.0.mlp.up_proj.weight"), before.get("model.layers.0.mlp.up_proj.weight"));
  });

  it("the merged weights of an adapter that PEFT wrote are those that PEFT merges", async () => {
    const golden = fileURLToPath(new URL("../../../e2e/golden/post/mqa", import.meta.url));
    const merged = await readSafetensors(join(golden, "lora.safetensors"));
    const [model, adapter] = [join(root, "golden-base"), join(root, "golden-adapter")];
    for (const directory of [model, adapter]) mkdirSync(directory);
    for (const name of ["config.json", "model.safetensors"]) copyFileSync(join(golden, name), join(model, name));
    copyFileSync(join(golden, "lora", "adapter_model.safetensors"), join(adapter, "adapter_model.safetensors"));
    const about = JSON.parse(readFileSync(join(golden, "lora", "adapter_config.json"), "utf8")) as object;
    writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify({ ...about, base_model_name_or_path: model }));
    const weights = await weightsOf(adapter);
    const expected = [...merged].filter(([name]) => name.startsWith("merged."));
    ok(expected.length > 0);
    for (const [name, { data }] of expected) {
      const found = ensure(weights.get(name.slice("merged.".length)), name);
      data.forEach((value, i) => ok(Math.abs(value - ensure(found[i], name)) < 1e-6, `${name}[${i}] is ${found[i]} for ${value}`));
    }
  });

  it("an adapter over an adapter has the changes of both", async () => {
    const first = await write("first", base, [1, 1]);
    const second = await write("second", first, [1, 2]);
    const [before, merged] = [await weightsOf(base), await weightsOf(second)];
    deepStrictEqual(
      merged.get(changed),
      before.get(changed)?.map((value) => value + 6 + 12),
    );
  });

  it("a changed weight has no file to copy, because its numbers are in two files", async () => {
    const checkpoint = await HfCheckpoint.open(await write("copied", base, [1, 1]));
    try {
      strictEqual(checkpoint.sourceOf(changed), undefined);
      ok(checkpoint.sourceOf("model.norm.weight")?.path.startsWith(base));
      deepStrictEqual(await checkpoint.unreadWeightFiles(), []);
      strictEqual(checkpoint.configFile, join(base, "config.json"));
    } finally {
      await checkpoint.close();
    }
  });

  it("the head of a reward model is not a weight of the language model, and is read alone", async () => {
    const directory = await write("reward", base, [1, 1], { head: true });
    strictEqual((await weightsOf(directory)).size, paramsOf(config).length);
    deepStrictEqual([...ensure(await readAdapterHead(directory), "head").data], [0, 1, 2, 3]);
    strictEqual(await readAdapterHead(base), undefined);
  });

  it("an adapter that cannot be merged is refused as before: another kind, a base model elsewhere, or itself as the base", async () => {
    for (const [name, under, more] of [
      ["dora", base, { use_dora: true }],
      ["bias", base, { bias: "all" }],
      ["hub", "google/gemma-2b", {}],
      ["own", join(root, "own"), {}],
    ] as const)
      await rejects(HfCheckpoint.open(await write(name, under, [1, 1], { config: more })), { code: "LAP_CHECKPOINT_FORM" }, name);
  });

  it("a tensor that the base model has no weight for is an error that names it", async () => {
    const directory = await write("foreign", base, [1, 1]);
    await writeSafetensors(
      join(directory, "adapter_model.safetensors"),
      new Map([["base_model.model.model.layers.7.mlp.down_proj.lora_A.weight", arrayOf({ dims: [2, 6] }, () => 0)]]),
      { format: "pt" },
    );
    await rejects(HfCheckpoint.open(directory), { code: "LAP_CHECKPOINT_TENSOR", message: /layers\.7/ });
  });
});
