import { deepStrictEqual, equal, match, throws } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { modelConfigSchema } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { parityForm, type ParityForm } from "./parity-form.js";
import { planParity } from "./parity-plan.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const shape = { vocabSize: 32, modelDim: 8, layers: 1, heads: 4, kvHeads: 2, headDim: 2, mlpDim: 16, contextLength: 8 };
const dense = modelConfigSchema.parse(shape);
const mixture = modelConfigSchema.parse({ ...shape, family: "mixtral", experts: { count: 4, perToken: 2, mlpDim: 16 } });

function form(config: typeof dense, mesh: string, overrides: readonly string[] = [], strategy?: string): ParityForm {
  const none = {
    torus: undefined,
    zero: undefined,
    numerics: undefined,
    workers: 1,
    executor: undefined,
    lossChunks: undefined,
    microbatches: undefined,
    part: undefined,
  };
  const options = { ...none, directory: "x", mesh, strategy, overrides };
  const places = { configsDir: join(root, "configs"), base: root };
  return parityForm(planParity(options, 1), config, { batch: 8, seq: 8 }, options, places);
}

const remedy = (run: () => unknown): string => {
  let text = "";
  throws(run, (error) => {
    text = error instanceof LapidaryError ? `${error.code} ${error.exit} ${error.remedy ?? ""}` : "";
    return text !== "";
  });
  return text;
};

describe("the form of a parity run", () => {
  it("a mixture on an axis expert has a slot for every choice, and other runs are dense", () => {
    deepStrictEqual(form(mixture, "data=2,expert=4").build, { dispatch: { kind: "capacity", capacityFactor: 2 } });
    deepStrictEqual(form(mixture, "data=2").build, {});
    deepStrictEqual(form(mixture, "expert=2", ["moe.dispatch=dense"]).build, { dispatch: { kind: "dense" } });
    deepStrictEqual(form(dense, "data=2").rules["batch"], ["data"]);
  });

  it("a strategy and overrides mean the same as in a job file", () => {
    const { rules, zero, build } = form(dense, "data=2,context=4", ["context.strategy=heads"], "context");
    deepStrictEqual([rules["seq"], zero, build], [["context"], 3, { headExchange: { kvHeads: 4 } }]);
    deepStrictEqual(form(dense, "data=2,blue=4", ["rules.mlp=blue"]).rules["mlp"], ["blue"]);
  });

  it("a capacity that drops tokens, another key, and a mesh that does not divide are rejected", () => {
    match(
      remedy(() => form(mixture, "expert=2", ["moe.capacity_factor=1.5"])),
      /^LAP_PARITY_OPTION \d use 2 =/,
    );
    match(
      remedy(() => form(dense, "data=2", ["train.seq=4"])),
      /^LAP_PARITY_OPTION/,
    );
    equal(remedy(() => form(mixture, "expert=8")).slice(0, 23), "LAP_MESH_INDIVISIBLE 4 ");
  });
});
