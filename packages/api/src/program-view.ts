import { z } from "zod";

/**
 * A compiled train step as JSON. It is created once, after compilation, and stored in the run's directory as `program.json`. The page draws shards, memory
 * and the timeline of a step from it. Every chip runs the same program, so the view describes one chip.
 *
 * `bytes` are those of one chip, except for whole tensors. Times are microseconds since the start of the step.
 */

const count = z.number().int().nonnegative();
const number = z.number();

/** Classes of device memory, as in the memory plan. */
export const memoryClassNames = ["params", "optimizer", "gradients", "activations", "temporary"] as const;
const memoryClassSchema = z.enum(memoryClassNames);
const byClassSchema = z.record(memoryClassSchema, number);

const viewValueSchema = z.object({
  /** Number in the per-chip program. */
  id: count,
  name: z.string(),
  op: z.string(),
  dtype: z.string(),
  /** Dims of the whole tensor, and of the shard of one chip. */
  dims: z.array(count),
  local_dims: z.array(count),
  /** As `printSharding` writes it. */
  sharding: z.string(),
  role: z.string().optional(),
  phase: z.string().optional(),
  /** The logical axis of each dim, if it has one. */
  logical_axes: z.array(z.string().nullable()).optional(),
  /** The rule that caused the split of each dim. */
  because: z.array(z.string().nullable()).optional(),
  /** For a collective: the reason as a sentence, its axes, and the bytes that one chip sends. */
  why: z.string().optional(),
  axis: z.string().optional(),
  bytes_sent: number.optional(),
  flops: number.optional(),
  /** The lane (`compute`, or the axes of a collective), start and duration; absent if the op takes no time. */
  lane: z.string().optional(),
  start_us: number.optional(),
  duration_us: number.optional(),
  /** The limiting resource: `matrix`, `vector`, `hbm` or `links`. */
  bound: z.string().optional(),
});
export type ViewValue = z.infer<typeof viewValueSchema>;

const explainedStateSchema = z.object({
  name: z.string(),
  decided_by: z.array(z.array(z.string())),
  alternatives: z.array(z.object({ sharding: z.string(), bytes_per_chip: number, gather_bytes_per_chip: number, chosen: z.boolean() })),
  conflicts: z.array(z.string()),
});
export type ExplainedState = z.infer<typeof explainedStateSchema>;

const viewCollectiveSchema = z.object({
  op: z.string(),
  axis: z.string(),
  /** Name of the value, with `*` for the number of the block. */
  value: z.string(),
  count,
  bytes_per_chip: number,
  share: number,
  phase: z.string(),
  why: z.string(),
  /** Number of the first one in the program. */
  first: count,
});
export type ViewCollective = z.infer<typeof viewCollectiveSchema>;

const viewMemorySchema = z.object({
  limit_bytes: number,
  peak_bytes: number,
  peak_us: number,
  /** Live bytes at the peak. */
  at_peak: byClassSchema,
  peak_by_class: byClassSchema,
  /** Live bytes over the step: the maximum of each bucket, by class. */
  curve: z.object({ at_us: z.array(number), by_class: z.record(memoryClassSchema, z.array(number)) }),
  /** The largest live buffers at the peak. */
  largest: z.array(z.object({ value: count, name: z.string(), kind: memoryClassSchema, bytes: number, from_us: number, to_us: number })),
});
export type ViewMemory = z.infer<typeof viewMemorySchema>;

export const programViewSchema = z.object({
  version: z.literal(1),
  name: z.string(),
  mesh: z.string(),
  chips: count,
  parameters: count,
  values: z.array(viewValueSchema),
  states: z.array(explainedStateSchema),
  collectives: z.array(viewCollectiveSchema),
  memory: viewMemorySchema,
  timeline: z.object({
    /** The chip of the prediction, and the dtype of its matmuls. */
    chip: z.string(),
    compute: z.string(),
    total_us: number,
    /** In the order in which they are drawn. */
    lanes: z.array(z.string()),
    /** Time for which the compute lane waits for collectives. */
    exposed_us: number,
  }),
  /** The predicted step. `mfu` counts all attention scores, `mfu_causal` only those that the causal mask keeps. */
  step: z.object({
    seconds: number,
    tokens: number,
    mfu: number,
    mfu_causal: number,
    /** Whether such predictions were compared with measured runs on this kind of chip. Absent in views of earlier versions. */
    calibrated: z.boolean().optional(),
  }),
  /** Bytes that one chip sends in a step along each dim of its slice, and over DCN; both directions added. */
  link_bytes: z.object({ dims: z.array(number), dcn: number }),
});
export type ProgramView = z.infer<typeof programViewSchema>;
