import { axisMeaning } from "./axis-names.js";

const parts = "write `train.microbatches: N`, the parts of train.batch whose gradients are added before the update";
const rows = "write `train.batch: N`, the rows of all chips and of all microbatches together";
const rowsOfPart =
  "write `train.batch`, the rows of all chips and of all microbatches together, or `train.batch_per_chip`; `train.microbatches: N` divides them";

/** Keys of transformers, DeepSpeed, Lightning, Megatron, NeMo, MaxText, torchtitan, Axolotl and nanoGPT for the sizes of batches, with the remedy. */
const batchKeys: Readonly<Record<string, string>> = {
  gradient_accumulation_steps: parts,
  gradient_accumulation: parts,
  gradient_accumulation_iters: parts,
  grad_accumulation_steps: parts,
  grad_accum_steps: parts,
  grad_accum: parts,
  accumulate_grad_batches: parts,
  accumulation_steps: parts,
  num_microbatches: parts,
  num_micro_batches: parts,
  n_microbatches: parts,
  micro_batches: parts,
  microbatch: parts,
  gas: parts,
  global_batch_size: rows,
  train_batch_size: rows,
  total_batch_size: rows,
  global_train_batch_size: rows,
  batch_size: rows,
  local_batch_size: rowsOfPart,
  per_device_batch_size: rowsOfPart,
  per_device_train_batch_size: rowsOfPart,
  micro_batch_size: rowsOfPart,
  train_micro_batch_size_per_gpu: rowsOfPart,
  device_train_microbatch_size: rowsOfPart,
  micro_batch_size_per_gpu: rowsOfPart,
};

const dropless = "write `moe: { dispatch: dropless }`, with which each expert computes all tokens that chose it";
const sequence = "write `rules: { activation_seq: model }`, or `strategy: tensor-sequence`";

/** Keys of MaxText, torchtitan, Megatron and DeepSpeed that are a value of a key of a job, with the remedy. */
const settingKeys: Readonly<Record<string, string>> = {
  ...batchKeys,
  pipeline_parallel_microbatch_size: rowsOfPart,
  megablox: dropless,
  sparse_matmul: dropless,
  moe_grouped_gemm: dropless,
  moe_token_dispatcher_type: dropless,
  sequence_parallel: sequence,
  enable_sequence_parallel: sequence,
  use_distributed_optimizer: "write `zero: 1`, which splits the states of the optimizer over the chips of the batch",
};

/** Keys of MaxText, torchtitan, Megatron and transformers, by name, and the key of a job file with their meaning. */
const foreignKeys: Readonly<Record<string, string>> = {
  max_target_length: "train.seq",
  seq_len: "train.seq",
  seq_length: "train.seq",
  sequence_length: "train.seq",
  max_seq_len: "train.seq",
  learning_rate: "train.optimizer.lr",
  num_pipeline_microbatches: "train.microbatches",
  num_pp_microbatches: "train.microbatches",
  pipeline_parallel_schedule: "pipeline.order",
  num_layers_per_pipeline_stage: "pipeline.layers_per_stage",
  pipeline_parallel_layers_per_stage: "pipeline.layers_per_stage",
  num_layers_per_virtual_pipeline_stage: "pipeline.layers_per_stage",
  num_pipeline_repeats: "pipeline.repeats",
  context_parallel_strategy: "context.strategy",
  context_parallel_rotate_method: "context.strategy",
  cp_comm_type: "context.strategy",
  context_parallel_load_balance: "context.balance",
  context_parallel_load_balancer: "context.balance",
  capacity_factor: "moe.capacity_factor",
  moe_expert_capacity_factor: "moe.capacity_factor",
  expert_capacity_factor: "moe.capacity_factor",
  num_experts: "model.experts.count",
  num_local_experts: "model.experts.count",
  num_experts_per_tok: "model.experts.per_token",
  moe_router_topk: "model.experts.per_token",
  moe_ffn_hidden_size: "model.experts.mlp_dim",
  moe_intermediate_size: "model.experts.mlp_dim",
  moe_aux_loss_coeff: "model.experts.aux_weight",
  router_aux_loss_coef: "model.experts.aux_weight",
  load_balance_loss_weight: "model.experts.aux_weight",
  virtual_pipeline_model_parallel_size: "pipeline.repeats",
  remat_policy: "remat",
  recompute_granularity: "remat",
  activation_checkpoint_mode: "remat",
  num_slices: "pods",
};

/** Keys of other systems for the size of a mesh axis: `ici_fsdp_parallelism`, `context_parallel_degree`, `expert-model-parallel-size`. */
const isAxisKey = (key: string): boolean => /^(ici|dcn)_|_parallelism$|parallel_(\w+_)?(size|degree)$/.test(key);

/**
 * The remedy for a key of another system; undefined if no other system has the key.
 *
 * @param known the dotted paths of a job file
 * @param value that the job gives to the key
 */
export function foreignKeyRemedy(given: string, value: unknown, known: readonly string[]): string | undefined {
  const key = given.replace(/^-+/, "").replaceAll("-", "_").toLowerCase();
  if (Object.hasOwn(settingKeys, key)) return settingKeys[key];
  const path = Object.hasOwn(foreignKeys, key) ? foreignKeys[key] : undefined;
  // MaxText and Megatron: a capacity factor below 0, or none, drops no token.
  if (path === "moe.capacity_factor" && typeof value === "number" && value <= 0) return dropless;
  if (path !== undefined)
    return known.some((each) => each === path || each.startsWith(`${path}.`)) ? `write ${path}` : `Lapidary has no counterpart of ${given}`;
  const meaning = isAxisKey(key) ? axisMeaning(key) : undefined;
  if (meaning === undefined) return undefined;
  const size = typeof value === "number" && value > 0 ? String(value) : "N";
  const mesh = meaning.axis === "pod" ? `pods: ${size} and mesh: { pod: ${size}, … }` : `mesh: { ${meaning.axis}: ${size} }`;
  return `write ${mesh}, such as the override mesh.${meaning.axis}=${size}${meaning.note === undefined ? "" : `; ${meaning.note}`}`;
}
