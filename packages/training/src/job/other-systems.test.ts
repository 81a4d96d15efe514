import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { buildOptionsOf } from "./build-options.js";
import { foreignKeyRemedy } from "./foreign-keys.js";
import { resolveJob } from "./load-job.js";
import type { ResolvedJob } from "./resolved-job.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const environment = { configsDir: join(root, "configs"), base: root };
const text = `model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
train: { steps: 2, batch: 32, optimizer: { name: adamw, lr: 0.1 } }
`;
const resolved = (...overrides: string[]): ResolvedJob => resolveJob({ text, file: "job.yaml", base: root }, overrides, environment);

function refusal(...overrides: string[]): LapidaryError {
  let found: unknown;
  throws(
    () => resolved(...overrides),
    (error) => {
      found = error;
      return true;
    },
  );
  ok(found instanceof LapidaryError, String(found));
  return found;
}

describe("names of other systems", () => {
  it("a key of MaxText, torchtitan or Megatron is rejected, and the remedy is the key of Lapidary", () => {
    for (const [key, remedy] of [
      ["ici_fsdp_parallelism=16", /mesh: \{ data: 16 \}.*mesh\.data=16.*zero: 3/],
      ["ici_tensor_parallelism=4", /mesh: \{ model: 4 \}/],
      ["ici_expert_parallelism=8", /mesh: \{ expert: 8 \}/],
      ["ici_context_parallelism=8", /mesh: \{ context: 8 \}/],
      ["dcn_data_parallelism=2", /pods: 2/],
      ["context_parallel_degree=2", /mesh\.context=2/],
      ["data_parallel_shard_degree=2", /mesh\.data=2/],
      ["tensor_model_parallel_size=2", /mesh\.model=2/],
      ["expert-model-parallel-size=2", /mesh\.expert=2/],
      ["pipeline_parallel_degree=4", /mesh: \{ stage: 4 \}/],
      ["dcn_pipeline_parallelism=4", /mesh: \{ stage: 4 \}/],
      ["num_pp_microbatches=4", /train\.microbatches/],
      ["pipeline_parallel_schedule=1F1B", /pipeline\.order/],
      ["per_device_batch_size=2", /train\.batch_per_chip/],
      ["max_target_length=32", /train\.seq/],
      ["capacity_factor=1.25", /moe\.capacity_factor/],
      ["capacity_factor=-1", /dispatch: dropless/],
      ["moe-grouped-gemm=true", /dispatch: dropless/],
      ["num_experts_per_tok=2", /write model\.experts\.per_token/],
      ["moe_aux_loss_coeff=0.01", /write model\.experts\.aux_weight/],
      ["expert_tensor_parallel_size=2", /mesh\.model=2/],
      ["ulysses_sequence_parallel_size=2", /mesh\.context=2.*strategy: heads/],
      ["sequence-parallel=true", /activation_seq: model/],
      ["use-distributed-optimizer=true", /zero: 1/],
      ["activation_checkpoint_mode=full", /write remat/],
      ["pipeline-model-parallel-size=4", /mesh: \{ stage: 4 \}/],
      ["num_layers_per_pipeline_stage=2", /write pipeline\.layers_per_stage/],
      ["gradient_accumulation_steps=4", /train\.microbatches: N/],
      ["global-batch-size=64", /train\.batch: N/],
      ["context-parallel-size=2", /mesh\.context=2/],
      ["context_parallel_strategy=ring", /context\.strategy/],
      ["context_parallel_load_balance=true", /write context\.balance/],
    ] as const) {
      const error = refusal(key);
      deepStrictEqual([error.code, error.exit, error.location], ["LAP_CONFIG_UNKNOWN_KEY", 2, `override ${key}`]);
      match(error.remedy ?? "", remedy, key);
    }
  });

  it("a key whose counterpart a job does not have is named as such", () => {
    match(foreignKeyRemedy("context_parallel_load_balance", true, ["context.strategy"]) ?? "", /no counterpart/);
  });

  it("a misspelt key of Lapidary has the nearest key as its remedy", () => {
    match(refusal("workerz=2").remedy ?? "", /did you mean "workers"/);
  });
});

describe("models as changes of others", () => {
  it("an override of a key changes the model that the job names", () => {
    const [whole, changed] = [resolved(), resolved("model.layers=1")];
    deepStrictEqual(changed.model.config, { ...whole.model.config, layers: 1 });
    strictEqual(changed.model.name, "nano16 (changed)");
    deepStrictEqual(resolved("model={ base: nano16, layers: 1 }").model, changed.model);
    deepStrictEqual(resolved("model.base=nano16", "model.layers=1").model, changed.model);
  });

  it("mappings of a change are merged, also of the directory of a checkpoint", () => {
    const mixture = resolved("model=e2e/golden/families/mixtral", "model.experts.per_token=1", "train.seq=16");
    deepStrictEqual([mixture.model.config.experts?.perToken, mixture.model.config.experts?.count], [1, 4]);
  });

  it("a mistake in a change is reported at its location", () => {
    const error = refusal("model.layerz=1");
    deepStrictEqual([error.code, error.location], ["LAP_CONFIG_UNKNOWN_KEY", "override model.layerz=1"]);
    match(error.remedy ?? "", /model\.layers/);
    deepStrictEqual(refusal("model.layers=none").location, "override model.layers=none");
    deepStrictEqual(refusal("model.base=nano17", "model.layers=1").code, "LAP_JOB_MODEL");
  });
});

describe("pods as changes of others", () => {
  const small = ["mesh={ data: 8, model: 8 }", "train.batch=8"];

  it("an override of a key changes the pod that the job names", () => {
    const changed = resolved("pod.torus=8x8", ...small);
    deepStrictEqual(changed.pod, { name: "v5e-256 (changed)", torus: "8x8", chip: "v5e", host: "4x2" });
    deepStrictEqual([changed.slice, changed.chips], ["8x8", 64]);
    deepStrictEqual(resolved("pod={ base: v5e-256, torus: 8x8 }", ...small).pod, changed.pod);
    deepStrictEqual(resolved("slice=8x8", ...small).pod.name, "v5e-256");
  });

  it("a mistake in a change is reported at its location", () => {
    const error = refusal("pod.torsu=8x8");
    deepStrictEqual([error.code, error.location], ["LAP_CONFIG_UNKNOWN_KEY", "override pod.torsu=8x8"]);
    match(error.remedy ?? "", /pod\.torus/);
    deepStrictEqual(refusal("pod.torus=8by8").location, "override pod.torus=8by8");
    deepStrictEqual(refusal("pod.base=v5e-255", "pod.torus=8x8").code, "LAP_JOB_POD");
  });
});

describe("the order of mesh axes", () => {
  const order = (...overrides: string[]): string =>
    resolved("train.batch=256", ...overrides)
      .mesh.map(({ name }) => name)
      .join(" ");

  it("the order is that of the overrides if they name all axes", () => {
    strictEqual(order("mesh.model=4", "mesh.context=4", "mesh.data=16"), "model context data");
    strictEqual(order("mesh={ context: 16, data: 16 }"), "context data");
  });

  it("an axis keeps its place, and a new one follows the axis of the override before it", () => {
    strictEqual(order("mesh.model=16"), "data model");
    strictEqual(order("mesh.data=4", "mesh.context=4"), "data context model");
    strictEqual(order("mesh.context=4", "mesh.data=4"), "data model context");
  });
});

describe("experts and context of a job", () => {
  const mixture = "model=e2e/golden/families/mixtral";
  const onParts = "mesh={ data: 16, context: 16 }";
  const onFour = "mesh={ data: 16, context: 4, model: 4 }";

  it("stages that do not fit the model, the recipe or the pods are rejected with exit code 4 and a layout that fits", () => {
    const onStages = (stages: number): string => `mesh={ data: ${256 / stages}, stage: ${stages} }`;
    const batch = "train.batch=256";
    const stagedModel = ["model=e2e/golden/families/llama", "train.seq=64", onStages(2)];
    for (const [code, remedy, ...overrides] of [
      ["LAP_PIPELINE_LAYOUT", /axis stage/, "pipeline.order=gpipe"],
      ["LAP_PIPELINE_LAYOUT", /stage: 4/, "model=e2e/golden/families/llama", "train.seq=64", onStages(8)],
      ["LAP_PIPELINE_LAYOUT", /no number of stages/, "model=e2e/golden/families/gemma3", "train.seq=64", onStages(2)],
      [
        "LAP_PIPELINE_LAYOUT",
        /recipe sft.*another axis/,
        ...[...stagedModel, "recipe=sft", "train.init=e2e/golden/families/llama", "data={ train: [{ path: a.jsonl }] }"],
      ],
      ["LAP_PIPELINE_LAYOUT", /no repeats.*order: circular/, ...stagedModel, "pipeline.repeats=2"],
      ["LAP_PIPELINE_LAYOUT", /needs a number of repeats.*repeats: 2/, ...stagedModel, "pipeline.order=circular"],
      [
        "LAP_PIPELINE_LAYOUT",
        /do not divide over 2 stages with 3 repeats.*repeats: 2/,
        ...[...stagedModel, "pipeline.order=circular", "pipeline.repeats=3", "train.microbatches=2"],
      ],
      [
        "LAP_PIPELINE_LAYOUT",
        /1 microbatch .*fewer than the 2 stages.*microbatches: 2/,
        ...[...stagedModel, "pipeline.order=circular", "pipeline.repeats=2"],
      ],
      ["LAP_PIPELINE_LAYOUT", /axis expert/, mixture, "train.seq=64", onStages(2)],
      [
        "LAP_PIPELINE_LAYOUT",
        /layers_per_stage: 2/,
        "model=e2e/golden/families/llama",
        "train.seq=64",
        onStages(2),
        "pipeline.layers_per_stage=3",
      ],
      [
        "LAP_MESH_INDIVISIBLE",
        /use 2 microbatches/,
        "model=e2e/golden/families/llama",
        "train.seq=64",
        onStages(2),
        "train.microbatches=3",
      ],
      ["LAP_MESH_POD_AXIS", /pod: 4/, "model=e2e/golden/families/llama", "train.seq=64", "pods=4", "mesh={ data: 512, stage: 2 }"],
    ] as const) {
      const error = refusal(batch, ...overrides);
      deepStrictEqual([error.code, error.exit], [code, 4], error.message);
      match(`${error.message} ${error.remedy ?? ""}`, remedy);
    }
  });

  it("stages on pods need no other axis over pods", () => {
    const job = resolved("model=e2e/golden/families/llama", "train.seq=64", "pods=4", "mesh={ stage: 4, data: 256 }", "train.batch=256");
    deepStrictEqual([job.mesh[0]?.name, job.rules["stages"]], ["stage", ["stage"]]);
  });

  it("settings that do not fit the model or the mesh are rejected with exit code 4", () => {
    for (const [code, remedy, ...overrides] of [
      ["LAP_MOE_DISPATCH", /remove moe/, "moe.dispatch=capacity"],
      ["LAP_MESH_INDIVISIBLE", /expert of 4 chips/, mixture, "mesh={ data: 16, expert: 16 }", "train.batch=256"],
      ["LAP_CONTEXT_STRATEGY", /axis context/, "context.strategy=heads"],
      ["LAP_CONTEXT_STRATEGY", /all_gather/, "context.strategy=heads", "mesh={ data: 8, context: 32 }"],
      ["LAP_CONTEXT_STRATEGY", /train\.seq: 16/, "context.strategy=ring", onParts, "train.seq=24"],
      ["LAP_CONTEXT_STRATEGY", /train\.seq: 32/, "context.balance=true", onParts, "train.seq=16"],
      ["LAP_CONTEXT_STRATEGY", /ring or all_gather/, "context={ strategy: heads, balance: true }", onParts],
      ["LAP_CONTEXT_STRATEGY", /a window leaves/, "model=e2e/golden/families/gemma2", "context.balance=true", onFour, "train.seq=16"],
      ["LAP_CONTEXT_STRATEGY", /capacity_factor: 2/, mixture, "moe.capacity_factor=1", "context.balance=true", onFour, "train.seq=16"],
    ] as const) {
      const error = refusal(...overrides);
      deepStrictEqual([error.code, error.exit], [code, 4]);
      match(error.remedy ?? "", remedy);
    }
    for (const moe of ["dispatch: dense, capacity_factor: 2", "dispatch: dropless, capacity_factor: 2", "imbalance: 1.5"])
      deepStrictEqual(refusal(mixture, `moe={ ${moe} }`).code, "LAP_CONFIG_VALUE");
  });

  it("sft, also with LoRA, dispatches tokens to experts, and other recipes of post-training refuse to by name", () => {
    const onExperts = [
      mixture,
      "model.experts.aux_weight=0",
      "mesh={ data: 16, expert: 4, model: 4 }",
      "train.batch=512",
      "data.train=[{ path: demos.jsonl }]",
      "init=base",
    ];
    const ofRecipes = {
      reward: [],
      dpo: ["dpo={ beta: 0.1 }"],
      rl: ["rl={ rollout: { max_new_tokens: 8 } }", "reward=[{ checker: sorted }]"],
    };
    for (const dispatch of ["capacity", "dropless"]) {
      const settings = [...onExperts, `moe.dispatch=${dispatch}`];
      const build = buildOptionsOf(resolved(...settings, "recipe=sft", "lora={ rank: 2 }"));
      strictEqual(build.dispatch?.kind, dispatch);
      for (const [recipe, own] of Object.entries(ofRecipes)) {
        const error = refusal(...settings, `recipe=${recipe}`, ...own);
        deepStrictEqual([error.code, error.exit], ["LAP_MOE_DISPATCH", 4], error.message);
        match(`${error.message} ${error.remedy ?? ""}`, new RegExp(`the recipe ${recipe} .*dispatch: dense`));
        ok(resolved(...onExperts, "moe.dispatch=dense", `recipe=${recipe}`, ...own).recipe === recipe);
      }
    }
  });
});
