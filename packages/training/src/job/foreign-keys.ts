/** The keys of a job file that replace a key of another system, and what differs. */
const parts = "write `train.microbatches: N`, the parts of train.batch whose gradients are added before the update";
const rows = "write `train.batch: N`, the rows of all chips and of all microbatches together";
const rowsOfPart =
  "write `train.batch`, the rows of all chips and of all microbatches together, or `train.batch_per_chip`; `train.microbatches: N` divides them";

/** Keys of transformers, DeepSpeed, Lightning, Megatron, NeMo, MaxText, torchtitan, Axolotl and nanoGPT, with the remedy. */
const remedies: Readonly<Record<string, string>> = {
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

/** What to write here for a key of another system; undefined if the key is unknown. Dashes and letter case do not matter. */
export function foreignKeyRemedy(key: string): string | undefined {
  const name = key.replaceAll("-", "_").toLowerCase();
  return Object.hasOwn(remedies, name) ? remedies[name] : undefined;
}
