import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ArrayData, fromTensor, readSafetensors, toTensor, writeSafetensors } from "@lapidary/interop";
import { interpret } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { readParityBundle } from "./bundle.js";
import { type ParityDeviations, parityFailures, parityTolerances } from "./compare.js";
import { type GraphRunner, runParity } from "./run.js";

const golden = (name: string): string => fileURLToPath(new URL(`../../../../e2e/golden/${name}`, import.meta.url));

const interpreter: GraphRunner = {
  run: (_name, graph, inputs) =>
    Promise.resolve(
      new Map(
        [...interpret(graph, new Map([...inputs].map(([key, array]) => [key, toTensor(array)])))].map(([key, t]) => [key, fromTensor(t)]),
      ),
    ),
};

const perfect: ParityDeviations = {
  logits_max_abs: 0,
  loss_abs: [0, 0, 0, 0, 0],
  grads_max_rel_l2: 0,
  grad_norm_rel: 0,
  grads_worst: "w",
  params_step1_rms: 0,
  params_step5_rms: 0,
  sft_loss_abs: 0,
};

describe("parity", () => {
  for (const name of ["mqa", "mha"])
    it(`the interpreter agrees with transformers on ${name}: logits, gradients, five steps of AdamW, masked loss`, async () => {
      const distances = await runParity(await readParityBundle(golden(name)), interpreter);
      deepStrictEqual(parityFailures(distances, parityTolerances("f32")), [], JSON.stringify(distances));
    });

  it("a deviation above its tolerance or NaN fails, also in one step of five", () => {
    const failures = (change: Partial<ParityDeviations>): string[] => parityFailures({ ...perfect, ...change }, parityTolerances("f32"));
    deepStrictEqual(failures({}), []);
    deepStrictEqual(failures({ logits_max_abs: 3e-5 }), ["logits_max_abs"]);
    deepStrictEqual(failures({ loss_abs: [0, 0, 0, 0, Number.NaN] }), ["loss_abs"]);
    deepStrictEqual(failures({ grads_max_rel_l2: Number.NaN, params_step5_rms: 1 }), ["grads_max_rel_l2", "params_step5_rms"]);
  });

  it("one changed weight fails parity, and the result names its gradient", async () => {
    const bundle = await readParityBundle(golden("mqa"));
    const off: GraphRunner = {
      run: async (name, graph, inputs) => {
        const out = new Map(await interpreter.run(name, graph, inputs));
        const bad = out.get("grads/model.layers.1.mlp.up_proj.weight");
        if (bad?.dtype === "f32") bad.data[7] = (bad.data[7] ?? 0) + 1;
        return out;
      },
    };
    const distances = await runParity(bundle, off);
    deepStrictEqual(
      [distances.grads_worst, parityFailures(distances, parityTolerances("f32"))],
      ["model.layers.1.mlp.up_proj.weight", ["grads_max_rel_l2"]],
    );
  });

  it("an error about an incomplete bundle names the file and the tensor or key", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
    try {
      await cp(golden("mqa"), directory, { recursive: true });
      const refuses = (code: string, place: string): Promise<void> =>
        rejects(readParityBundle(directory), (error) => {
          ok(error instanceof LapidaryError, String(error));
          deepStrictEqual([error.code, error.location?.includes(place)], [code, true], `${error.location}: ${error.message}`);
          return true;
        });
      const change = async (file: string, edit: (arrays: Map<string, ArrayData>) => void): Promise<void> => {
        const path = join(directory, file);
        const arrays = await readSafetensors(join(golden("mqa"), file));
        edit(arrays);
        await writeSafetensors(path, arrays);
      };
      await change("sft.safetensors", (arrays) => arrays.delete("labels"));
      await refuses("LAP_PARITY_BUNDLE", 'sft.safetensors: tensor "labels"');
      await cp(golden("mqa"), directory, { recursive: true });
      await change("grads.safetensors", (arrays) =>
        arrays.set("model.norm.weight", ensure(arrays.get("model.embed_tokens.weight"), "embedding")),
      );
      await refuses("LAP_PARITY_BUNDLE", 'grads.safetensors: tensor "model.norm.weight"');
      await cp(golden("mqa"), directory, { recursive: true });
      await writeFile(join(directory, "manifest.json"), '{"step_losses": [1, 2]}');
      await refuses("LAP_PARITY_MANIFEST", "manifest.json");
      await rm(join(directory, "manifest.json"));
      await refuses("LAP_CHECKPOINT_MISSING", "manifest.json");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
