import { deepStrictEqual, rejects } from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ArrayData, f32Array, i32Array, readSafetensors, writeSafetensors } from "@lapidary/interop";
import type { GraphRunner } from "@lapidary/training";
import { goldenBundle } from "../testing/golden-bundle.js";
import { isPostBundle, readPostBundle } from "./bundle.js";
import { type PostPart, runPostParity } from "./run.js";

/** A bundle is checked before its programs run. */
const noRunner: GraphRunner = { run: (name) => Promise.reject(new Error(`${name} runs`)) };

type Json = Record<string, unknown>;

describe("a damaged bundle of post-training", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    cpSync(goldenBundle("mqa"), directory, { recursive: true });
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  const editJson = (name: string, edit: (value: Record<string, Json>) => void): void => {
    const path = join(directory, name);
    const value = JSON.parse(readFileSync(path, "utf8")) as Record<string, Json>;
    edit(value);
    writeFileSync(path, JSON.stringify(value));
  };
  const editTensor = async (name: string, tensor: string, edit: (array: ArrayData) => ArrayData | undefined): Promise<void> => {
    const path = join(directory, name);
    const arrays = await readSafetensors(path);
    const array = arrays.get(tensor);
    const edited = array === undefined ? undefined : edit(array);
    if (edited === undefined) arrays.delete(tensor);
    else arrays.set(tensor, edited);
    await writeSafetensors(path, arrays);
  };
  const run = async (part: PostPart): Promise<unknown> => runPostParity(await readPostBundle(directory), noRunner, { parts: [part] });
  const refusesManifest = (message: RegExp, name = "manifest.json"): Promise<void> =>
    rejects(run("chat"), { code: "LAP_PARITY_MANIFEST", location: join(directory, name), message });
  const refusesTensor = (part: PostPart, name: string, tensor: string, message: RegExp): Promise<void> =>
    rejects(run(part), { code: "LAP_PARITY_BUNDLE", location: `${join(directory, name)}: tensor "${tensor}"`, message });

  it("a complete bundle is read, and the part chat needs no program", async () => {
    const checks = await runPostParity(await readPostBundle(directory), noRunner, { parts: ["chat"] });
    deepStrictEqual(
      checks.map(({ ok }) => ok),
      Array.from(checks, () => true),
    );
  });

  it("a bundle is recognized without one of its files, and the error names the file", async () => {
    for (const name of ["rollout.safetensors", "chat.json", "lora/adapter_config.json"]) {
      cpSync(goldenBundle("mqa"), directory, { recursive: true });
      rmSync(join(directory, name));
      deepStrictEqual(isPostBundle(directory), true);
      await rejects(run("chat"), { name: "LapidaryError", location: join(directory, name) });
    }
  });

  it("a missing key and a value of another type are refused with the key", async () => {
    for (const [edit, key] of [
      [(m) => delete m["dpo"]?.["beta"], "dpo.beta"],
      [(m) => delete m["tolerances"]?.["logits"], "tolerances.logits"],
      [(m) => Object.assign(m["rollout"] ?? {}, { temperature: 0 }), "rollout.temperature"],
      [(m) => Object.assign(m["rollout"] ?? {}, { generations: 1 }), "rollout.generations"],
      [(m) => Object.assign(m["grpo"] ?? {}, { clip: "0.2" }), "grpo.clip"],
      [(m) => delete m["grpo"]?.["clip_higher_0.28"], "grpo"],
      [(m) => delete (m["grpo"]?.["variants"] as Json)["dapo"], "grpo.variants.dapo"],
      [(m) => Object.assign((m["grpo"]?.["variants"] as Json) ?? {}, { gspo: { loss: 1, grad_norm: 1 } }), "grpo.variants"],
      [(m) => Object.assign(m["generation"] ?? {}, { step: 32 }), "generation.step"],
      [(m) => Object.assign(m["lora"] ?? {}, { r: 4 }), "lora"],
    ] satisfies [(manifest: Record<string, Json>) => unknown, string][]) {
      cpSync(goldenBundle("mqa"), directory, { recursive: true });
      editJson("manifest.json", edit);
      await refusesManifest(new RegExp(`^${key}: `));
    }
  });

  it("a loss that differs between the manifest and its file is refused, and rows with padding on the other side", async () => {
    editJson("manifest.json", (manifest) => Object.assign(manifest["dpo"] ?? {}, { loss: 0.5 }));
    await refusesTensor("chat", "dpo.safetensors", "loss", /the manifest has 0.5/);
    cpSync(goldenBundle("mqa"), directory, { recursive: true });
    await editTensor("sft.safetensors", "attention_mask", ({ dims, data }) => i32Array(dims, Int32Array.from(data).reverse()));
    await refusesTensor("sft", "sft.safetensors", "attention_mask", /padded on the right/);
  });

  it("an adapter with another formula is refused", async () => {
    editJson("lora/adapter_config.json", (config) => Object.assign(config, { use_rslora: true }));
    await refusesManifest(/^use_rslora: /, "lora/adapter_config.json");
  });

  it("a missing tensor, other dims and another type are refused with file and tensor", async () => {
    await editTensor("sft.safetensors", "labels", () => undefined);
    await refusesTensor("sft", "sft.safetensors", "labels", /missing/);
    await editTensor("reward_model.safetensors", "last", ({ dims, data }) => f32Array(dims, Float32Array.from(data)));
    await refusesTensor("reward", "reward_model.safetensors", "last", /expected integers/);
    await editTensor("dpo.safetensors", "completion_mask", () => i32Array([2, 3], new Int32Array(6)));
    await refusesTensor("dpo", "dpo.safetensors", "completion_mask", /dims are \[2, 3\]/);
    await editTensor("reference.safetensors", "model.norm.weight", () => undefined);
    await refusesTensor("chat", "reference.safetensors", "model.norm.weight", /missing/);
  });

  it("gradients of unknown parameters, and missing gradients, are refused", async () => {
    await editTensor("sft.safetensors", "grad.model.norm.weight", () => undefined);
    await refusesTensor("sft", "sft.safetensors", "grad.model.norm.weight", /missing/);
    cpSync(goldenBundle("mqa"), directory, { recursive: true });
    const path = join(directory, "sft.safetensors");
    await writeSafetensors(path, new Map([...(await readSafetensors(path)), ["grad.lm_head.weight", f32Array([1], [0])]]));
    await refusesTensor("sft", "sft.safetensors", "grad.lm_head.weight", /no such parameter/);
  });

  it("ids outside the vocabulary, rows that are not groups, and masks with other values are refused", async () => {
    const first =
      (value: number) =>
      ({ dims, data }: ArrayData): ArrayData =>
        i32Array(dims, Int32Array.from(data).fill(value, 0, 1));
    await editTensor("sft.safetensors", "input_ids", first(272));
    await refusesTensor("sft", "sft.safetensors", "input_ids", /the id 272/);
    await editTensor("dpo.safetensors", "completion_mask", first(2));
    await refusesTensor("dpo", "dpo.safetensors", "completion_mask", /the value 2/);
    await editTensor("generation.safetensors", "prompt_mask", ({ dims, data }) => i32Array(dims, Int32Array.from(data).reverse()));
    await refusesTensor("generation", "generation.safetensors", "prompt_mask", /padded on the left/);
    editJson("manifest.json", (manifest) => Object.assign(manifest["rollout"] ?? {}, { generations: 5 }));
    await refusesTensor("rloo", "rollout.safetensors", "prompt_ids", /16 rows are not groups of 5/);
  });

  it("a changed mask, id or text fails the part chat, and the check names the dialogue", async () => {
    editJson("chat.json", (chat) => {
      const [, second] = chat["cases"] as unknown as { mask: number[] }[];
      second?.mask.fill(1, 0, 3);
    });
    const checks = await runPostParity(await readPostBundle(directory), noRunner, { parts: ["chat"] });
    deepStrictEqual(
      checks.filter(({ ok }) => !ok).map(({ value, deviation }) => [value, deviation]),
      [["mask of dialogues that differ (most in 1)", 3]],
    );
  });
});
