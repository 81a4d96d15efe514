import { z } from "zod";

/**
 * What a person can ask of a compiled train step, as JSON: made once, when the program is compiled, kept in the run's directory as
 * `program.json`, and all that a page needs to draw shards, memory and the timeline of a step. Every chip runs the same program, so
 * one chip stands for all.
 *
 * Bytes are those of one chip unless they are called `bytes` of a whole tensor; times are microseconds from the step's begin.
 */

const count = z.number().int().nonnegative();
const number = z.number();

/** Classes of device memory, as the memory plan has them. */
export const memoryClassNames = ["params", "optimizer", "gradients", "activations", "temporary"] as const;
const memoryClassSchema = z.enum(memoryClassNames);
const byClassSchema = z.record(memoryClassSchema, number);

const viewValueSchema = z.object({
  /** Number in the per-chip program. */
  id: count,
  name: z.string(),
  op: z.string(),
  dtype: z.string(),
  /** Of the whole tensor, and of one chip's part. */
  dims: z.array(count),
  local_dims: z.array(count),
  /** As `printSharding` writes it. */
  sharding: z.string(),
  role: z.string().optional(),
  phase: z.string().optional(),
  /** Per dim its logical axis, where it has one. */
  logical_axes: z.array(z.string().nullable()).optional(),
  /** Per dim the rule at the root of its split. */
  because: z.array(z.string().nullable()).optional(),
  /** Of a collective: the sentence that says why it is there, the axes it runs over, and what one chip sends. */
  why: z.string().optional(),
  axis: z.string().optional(),
  bytes_sent: number.optional(),
  flops: number.optional(),
  /** Where it runs (`compute`, or the axes of a collective), when, and for how long; absent: it takes no time of its own. */
  lane: z.string().optional(),
  start_us: number.optional(),
  duration_us: number.optional(),
  /** What bounds it: `matrix`, `vector`, `hbm` or `links`. */
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
  /** Number of the first of them in the program. */
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
  /** Live bytes over the step: the most of each bucket, by class. */
  curve: z.object({ at_us: z.array(number), by_class: z.record(memoryClassSchema, z.array(number)) }),
  /** The largest buffers that live at the peak. */
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
    /** The kind of chip that it is timed for, and in which type it multiplies. */
    chip: z.string(),
    compute: z.string(),
    total_us: number,
    /** In the order in which they are drawn. */
    lanes: z.array(z.string()),
    /** Time of the compute lane in which it waits for collectives. */
    exposed_us: number,
  }),
  /** The step as a whole, predicted; MFU with all scores of attention counted, and with those that a causal mask leaves. */
  step: z.object({
    seconds: number,
    tokens: number,
    mfu: number,
    mfu_causal: number,
    /** Whether such predictions were compared with measured runs on this kind of chip. Absent in views of earlier versions. */
    calibrated: z.boolean().optional(),
  }),
  /** What one chip sends in a step along each dim of its slice and, last, over DCN: both directions together. */
  link_bytes: z.object({ dims: z.array(number), dcn: number }),
});
export type ProgramView = z.infer<typeof programViewSchema>;
