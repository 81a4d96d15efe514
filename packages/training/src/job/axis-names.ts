import { editDistance } from "@lapidary/std";

/** The mesh axis that runs over pods. */
export const podAxis = "pod";

/** The first axes of a mesh, `pod` and `stage`, whose product is the number of pods: they run over pods. Undefined if there are none. */
export function axesOverPods(mesh: readonly { readonly name: string; readonly size: number }[], pods: number): string[] | undefined {
  const axes: string[] = [];
  let product = 1;
  for (const { name, size } of mesh) {
    if (product === pods || (name !== podAxis && name !== "stage")) break;
    axes.push(name);
    product *= size;
  }
  return product === pods ? axes : undefined;
}

/** Mesh axes that the default rules and the shipped strategies know. */
export const knownAxes = [podAxis, "stage", "data", "expert", "context", "model"] as const;
export type KnownAxis = (typeof knownAxes)[number];

/** The mesh axis of Lapidary that corresponds to an axis of another system. */
export interface AxisMeaning {
  readonly axis: KnownAxis;
  /** What else a job needs for the same effect, or what Lapidary does not support. */
  readonly note?: string;
  /** The setting that the note names. Errors omit the note if the job has the setting. */
  readonly needs?: "zero3" | "activationRule";
}

const fsdp: AxisMeaning = { axis: "data", note: "`zero: 3` splits the params over it, as FSDP does", needs: "zero3" };
const sequence: AxisMeaning = {
  axis: "model",
  note: "`rules: { activation_seq: model }` splits the sequence over it",
  needs: "activationRule",
};
const stage: AxisMeaning = { axis: "stage" };
const expert: AxisMeaning = { axis: "expert" };
const context: AxisMeaning = { axis: "context" };
const ulysses: AxisMeaning = { axis: "context", note: "`context.strategy: heads` exchanges positions for heads, as Ulysses does" };
const data: AxisMeaning = { axis: "data" };
const model: AxisMeaning = { axis: "model" };
const pod: AxisMeaning = { axis: "pod", note: "`pods` gives their number" };

/**
 * Names of axes in MaxText, T5X, Levanter, PyTorch, Megatron and DeepSpeed, and of logical axes that users confuse with mesh axes.
 * Without the endings that `stem` removes.
 */
const foreignAxisNames: Readonly<Record<string, AxisMeaning>> = {
  fsdp,
  fsdp_transpose: fsdp,
  dp_shard: fsdp,
  dp_shard_cp: fsdp,
  data_parallel_shard: fsdp,
  fully_sharded: fsdp,
  hsdp: fsdp,
  sdp: fsdp,
  shard: fsdp,
  zero: fsdp,
  dp: data,
  ddp: data,
  batch: data,
  replica: data,
  replicas: data,
  replicate: data,
  dp_replicate: data,
  data_parallel_replicate: data,
  tensor: model,
  tensor_transpose: model,
  tp: model,
  tpu: model,
  mp: model,
  mdl: model,
  heads: model,
  kv_heads: model,
  mlp: model,
  vocab: model,
  embed: model,
  autoregressive: model,
  tensor_sequence: sequence,
  sequence,
  seq: sequence,
  sp: sequence,
  context: context,
  context_autoregressive: context,
  ctx: context,
  cp: context,
  ring: context,
  ulysses,
  ulysses_sequence: ulysses,
  pp: stage,
  pipe: stage,
  pipeline: stage,
  stage,
  stages: stage,
  expert,
  experts: expert,
  ep: expert,
  etp: model,
  expert_tensor: model,
  moe: expert,
  dcn: pod,
  pods: pod,
  slice: pod,
  slices: pod,
  replica_dcn: pod,
};

/** `ici_fsdp_parallelism` → `fsdp`, `tensor_model_parallel_size` → `tensor`, `dp_axis` → `dp`. */
const stem = (name: string): string =>
  name.replace(/^ici_/, "").replace(/(_(model|data)?_?(parallelism|parallel|size|degree|axis|dim|world))+$/, "");

/** The meaning of an axis that no rule names: by its name in another system, or by the nearest spelling. */
export function axisMeaning(name: string): AxisMeaning | undefined {
  const short = stem(name);
  const overPods = name.startsWith("dcn_");
  if (overPods && stem(name.slice("dcn_".length)) === "pipeline") return stage;
  if (overPods) return pod;
  if (Object.hasOwn(foreignAxisNames, short)) return foreignAxisNames[short];
  if (isKnownAxis(short)) return { axis: short };
  const near = knownAxes.find((axis) => editDistance(axis, short) <= Math.floor(axis.length / 2.5));
  return near === undefined ? undefined : { axis: near };
}

export const isKnownAxis = (name: string): name is KnownAxis => (knownAxes as readonly string[]).includes(name);
