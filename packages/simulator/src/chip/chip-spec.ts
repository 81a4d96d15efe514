import { LapidaryError, type Warning } from "@lapidary/std";
import { parse } from "yaml";
import { z } from "zod";

const positive = z.number().positive();
const share = z.number().gt(0).max(1);

/**
 * What the data sheet does not say: six numbers for all programs, none for a row of a table. The first four are fitted to published runs by
 * `tools/calibrate`; these runs hardly tell the last two, which are what such streams usually reach.
 */
const calibratedSchema = z.strictObject({
  /** Share of the matrix units' peak that a large product reaches. */
  matrix_efficiency: share,
  /** Share of the vector unit's slots that a chain of elementwise ops fills: 1/4 is one op a cycle and lane. */
  vector_efficiency: share,
  /** Share of its speed that the core loses while the chip's links are busy: the core itself drives them, and what they move passes through HBM. */
  overlap_loss: z.number().min(0).lt(1),
  /** Mean delay of a pod, as a share of the step; delays are exponential, and a step waits for the last pod. */
  pod_delay: z.number().min(0).lt(1),
  /** Share of the HBM bandwidth that streams reach. */
  hbm_efficiency: share,
  /** Share of the network cards' rate that a reduction between pods reaches. */
  dcn_efficiency: share,
});

/** A kind of chip, as `configs/chips/*.yaml` writes it. Rates are per chip and second, sizes in bytes. */
const chipSpecSchema = z.strictObject({
  name: z.string(),
  /** Of the core, by which estimates of the TPU compiler are turned into seconds. */
  clock_hz: positive.optional(),
  matrix: z.strictObject({
    bf16_flops: positive,
    int8_ops: positive,
    /** Rows and columns of a systolic array. */
    array: z.number().int().positive(),
    /** bf16 products that make an exact f32 product. */
    f32_passes: z.number().int().positive(),
  }),
  vector: z.strictObject({
    ops: positive,
    /** Slots that an exp, tanh, log, root or quotient takes. */
    transcendental: positive,
  }),
  vmem_bytes: positive,
  hbm: z.strictObject({
    /** By the data sheet. */
    bytes: positive,
    /** What the TPU compiler lets a program have; the rest is its own. The data sheet's bytes where it is not given. */
    usable_bytes: positive.optional(),
    bytes_per_s: positive,
  }),
  ici: z.strictObject({
    /** Dims of the torus; a chip has two links along each. */
    dims: z.number().int().min(1).max(3),
    /** One way, by the data sheet. */
    link_bytes_per_s: positive,
    /** Share of it that one transfer measures. */
    efficiency: share,
    hop_s: positive,
    /** When an axis of a slice closes to a ring. */
    wraps: z.union([
      z.strictObject({ exactly: z.number().int().positive() }),
      z.strictObject({ multiple_of: z.number().int().positive() }),
    ]),
  }),
  host: z.strictObject({
    chips: z.number().int().positive(),
    dcn_bytes_per_s: positive,
    dcn_latency_s: positive,
    /** Between a chip and its host, each way. */
    pcie_bytes_per_s: positive,
  }),
  calibrated: calibratedSchema,
  /** Published runs of this very chip that predictions were compared with. Absent: none, and the constants are those of another chip. */
  calibration: z
    .strictObject({
      runs: z.string(),
      /** Largest error of the model flops utilisation over these runs, as a share of the measured. */
      worst_error: share,
    })
    .optional(),
});

export type ChipSpec = Readonly<z.infer<typeof chipSpecSchema>>;
/**
 * A chip from the text of its file.
 *
 * @throws LapidaryError for text that is no chip
 */
export function parseChip(text: string, file: string): ChipSpec {
  const fail = (message: string, place: string): LapidaryError => new LapidaryError({ code: "LAP_CHIP_SPEC", message, place });
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw fail(`not YAML: ${cause instanceof Error ? cause.message : String(cause)}`, file);
  }
  const result = chipSpecSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fail(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is wrong"}`, file);
}

/** HBM that a program can have on one chip, bytes. */
export const usableHbm = ({ hbm }: ChipSpec): number => hbm.usable_bytes ?? hbm.bytes;

/**
 * What a user must know of predictions for a chip that was never compared with a measured run. With the constants fitted to v5e, published runs
 * on v4 reached 18 to 19 % less than was predicted: predictions for a new chip were 21 to 23 % too high.
 */
export function calibrationWarning({ name, calibration }: ChipSpec): Warning | undefined {
  if (calibration !== undefined) return undefined;
  return {
    code: "LAP_CHIP_NOT_CALIBRATED",
    message: `step time and MFU of ${name} are not calibrated: they were never compared with a measured run. The same constants were up to 23 % too optimistic for v4`,
    place: `chip ${name}`,
    remedy: "read them as an upper bound, or compare plans of one chip with each other; docs/simulator.md says what was measured",
  };
}

/** Whether an axis of a slice that is `length` chips long closes to a ring. */
export const wrapsAt = ({ ici }: ChipSpec, length: number): boolean =>
  "exactly" in ici.wraps ? length === ici.wraps.exactly : length % ici.wraps.multiple_of === 0;

/** One way over one link, as a single transfer measures it. */
export const linkRate = ({ ici }: ChipSpec): number => ici.link_bytes_per_s * ici.efficiency;

/** A chip's share of its host's network cards. */
export const dcnRatePerChip = ({ host }: ChipSpec): number => host.dcn_bytes_per_s / host.chips;
