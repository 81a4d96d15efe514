import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ArrayData, f32Array, HfCheckpoint, writeHfCheckpoint, writeSafetensors } from "@lapidary/interop";
import { buildModel, loraParams, loraWeights, type ModelConfig, paramsOf } from "@lapidary/models";
import { tinyGemma } from "@lapidary/models/testing";
import { ensure, LapidaryError } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { readForExport } from "./export-checkpoint.js";
import { resolveCheckpoint } from "./resolve-checkpoint.js";

const config: ModelConfig = tinyGemma;
const lora = { rank: 2, alpha: 3, targets: ["q_proj", "down_proj"] } as const;
const model = buildModel(config);

/** Different numbers for each array. */
function values(params: readonly { readonly name: string; readonly dims: readonly number[] }[]): Map<string, ArrayData> {
  return new Map(
    params.map(({ name, dims }, at) => {
      const size = dims.reduce((product, dim) => product * dim, 1);
      return [
        name,
        f32Array(
          dims,
          Float32Array.from({ length: size }, (_, i) => Math.sin(7 * at + i)),
        ),
      ];
    }),
  );
}

describe("the export of an adapter", () => {
  const directory = temporaryDirectory();
  const weights = values(paramsOf(config));
  const matrices = values(loraParams(model, lora));
  const adapter = (): string => join(directory(), "adapter");

  beforeEach(async () => {
    const base = join(directory(), "base");
    mkdirSync(base, { recursive: true });
    await writeHfCheckpoint(base, config, weights, new Map(), undefined);
    mkdirSync(adapter(), { recursive: true });
    await writeSafetensors(join(adapter(), "adapter_model.safetensors"), matrices);
    describeAdapter({});
  });
  const describeAdapter = (change: object): void =>
    writeFileSync(
      join(adapter(), "adapter_config.json"),
      JSON.stringify({
        peft_type: "LORA",
        base_model_name_or_path: join(directory(), "base"),
        r: lora.rank,
        lora_alpha: lora.alpha,
        target_modules: lora.targets,
        ...change,
      }),
    );
  const exported = async (): Promise<Map<string, ArrayData>> => {
    const location = await resolveCheckpoint({ cwd: directory(), home: directory() }, "adapter");
    const target = join(directory(), "merged");
    await (await readForExport(location, () => undefined)).write(target);
    const checkpoint = await HfCheckpoint.open(target);
    const read = new Map<string, ArrayData>();
    for (const { name } of checkpoint.params) read.set(name, await checkpoint.read(name));
    await checkpoint.close();
    return read;
  };

  it("each changed weight is W + alpha / r · B·A, and every other weight is unchanged", async () => {
    const merged = await exported();
    const changed = loraWeights(model, lora).map(({ name }) => name);
    strictEqual(changed.length, 2);
    for (const [name, { data, dims }] of weights) {
      const found = ensure(merged.get(name), name).data;
      if (!changed.includes(name)) deepStrictEqual(found, data, name);
      else {
        const stem = `base_model.model.${name.replace(".weight", "")}`;
        const [a, b] = ["A", "B"].map((matrix) => ensure(matrices.get(`${stem}.lora_${matrix}.weight`), matrix).data);
        const [out = 0, width = 0] = dims;
        for (let o = 0; o < out; o++)
          for (let i = 0; i < width; i++) {
            const change = 1.5 * ((b?.[2 * o] ?? 0) * (a?.[i] ?? 0) + (b?.[2 * o + 1] ?? 0) * (a?.[width + i] ?? 0));
            ok(Math.abs((found[o * width + i] ?? 9) - ((data[o * width + i] ?? 0) + change)) < 1e-6, `${name} ${o} ${i}`);
          }
      }
    }
  });

  it("another kind of adapter is refused, and so is one that lacks matrices", async () => {
    for (const change of [{ peft_type: "IA3" }, { use_dora: true }, { use_rslora: true }, { target_modules: ["lm_head"] }]) {
      describeAdapter(change);
      await rejects(
        exported(),
        (error) => error instanceof LapidaryError && error.code.startsWith("LAP_CHECKPOINT_"),
        JSON.stringify(change),
      );
    }
    describeAdapter({ target_modules: ["k_proj"] });
    await rejects(exported(), (error) => error instanceof LapidaryError && /k_proj/.test(error.message));
  });
});
