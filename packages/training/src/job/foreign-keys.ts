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
  remat_policy: "remat",
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
  if (Object.hasOwn(batchKeys, key)) return batchKeys[key];
  const path = Object.hasOwn(foreignKeys, key) ? foreignKeys[key] : undefined;
  if (path !== undefined)
    return known.some((each) => each === path || each.startsWith(`${path}.`)) ? `write ${path}` : `Lapidary has no counterpart of ${given}`;
  const meaning = isAxisKey(key) ? axisMeaning(key) : undefined;
  if (meaning === undefined) return undefined;
  const size = typeof value === "number" && value > 0 ? String(value) : "N";
  const mesh = meaning.axis === "pod" ? `pods: ${size} and mesh: { pod: ${size}, … }` : `mesh: { ${meaning.axis}: ${size} }`;
  return `write ${mesh}, such as the override mesh.${meaning.axis}=${size}${meaning.note === undefined ? "" : `; ${meaning.note}`}`;
}
