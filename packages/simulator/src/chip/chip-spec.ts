import { LapidaryError, type Warning } from "@lapidary/std";
import { parse } from "yaml";
import { z } from "zod";

const positive = z.number().positive();
const share = z.number().gt(0).max(1);

/**
 * Six constants that data sheets lack, the same for all programs. `tools/calibrate` fits the first four to published runs. These
 * runs hardly depend on the last two, which have usual values.
 */
const calibratedSchema = z.strictObject({
  /** Share of the matrix units' peak that a large matmul reaches. */
  matrix_efficiency: share,
  /** Share of the vector unit's slots that a chain of elementwise ops fills: 1/4 is one op a cycle and lane. */
  vector_efficiency: share,
  /** Share of its speed that the core loses while the chip's links are busy: the core drives the links, and their data is read from HBM. */
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
  /** Clock of the core, which converts estimates of the TPU compiler to seconds. */
  clock_hz: positive.optional(),
  matrix: z.strictObject({
    bf16_flops: positive,
    int8_ops: positive,
    /** Rows and columns of a systolic array. */
    array: z.number().int().positive(),
    /** Number of bf16 matmuls that compute one f32 matmul. */
    f32_passes: z.number().int().positive(),
  }),
  vector: z.strictObject({
    ops: positive,
    /** Slots that an exp, tanh, log, root or quotient uses. */
    transcendental: positive,
  }),
  vmem_bytes: positive,
  hbm: z.strictObject({
    /** By the data sheet. */
    bytes: positive,
    /** Bytes that the TPU compiler gives to a program; it uses the rest itself. By default `bytes`. */
    usable_bytes: positive.optional(),
    bytes_per_s: positive,
  }),
  ici: z.strictObject({
    /** Dims of the torus; a chip has two links along each. */
    dims: z.number().int().min(1).max(3),
    /** One way, by the data sheet. */
    link_bytes_per_s: positive,
    /** Share of it that a single transfer reaches. */
    efficiency: share,
    hop_s: positive,
    /** Lengths at which an axis of a slice is a ring. */
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
  /** Published runs of this chip, with which predictions were compared. If absent, the constants are those of another chip. */
  calibration: z
    .strictObject({
      runs: z.string(),
      /** Largest error of the model flops utilisation over these runs, as a share of the measured utilisation. */
      worst_error: share,
    })
    .optional(),
});

export type ChipSpec = Readonly<z.infer<typeof chipSpecSchema>>;
/**
 * A chip from the text of its file.
 *
 * @throws LapidaryError if the text is not a chip specification
 */
export function parseChip(text: string, file: string): ChipSpec {
  const fail = (message: string, location: string): LapidaryError => new LapidaryError({ code: "LAP_CHIP_SPEC", message, location });
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

/** Bytes of HBM that a program can use on one chip. */
export const usableHbm = ({ hbm }: ChipSpec): number => hbm.usable_bytes ?? hbm.bytes;

/**
 * The warning for a chip whose predictions were never compared with a measured run. With the constants fitted to v5e, published
 * runs on v4 reached 18 to 19 % less than predicted: predictions for a new chip were 21 to 23 % too high.
 */
export function calibrationWarning({ name, calibration }: ChipSpec): Warning | undefined {
  if (calibration !== undefined) return undefined;
  return {
    code: "LAP_CHIP_NOT_CALIBRATED",
    message: `step time and MFU of ${name} are not calibrated: no prediction was compared with a measured run. The same constants were up to 23 % too optimistic for v4`,
    place: `chip ${name}`,
    remedy: "read them as an upper bound, or compare plans of one chip with each other; docs/simulator.md lists the measured runs",
  };
}

/** Whether an axis of a slice with `length` chips is a ring. */
export const wrapsAt = ({ ici }: ChipSpec, length: number): boolean =>
  "exactly" in ici.wraps ? length === ici.wraps.exactly : length % ici.wraps.multiple_of === 0;

/** Bytes per second in one direction of a link that a single transfer reaches. */
export const linkRate = ({ ici }: ChipSpec): number => ici.link_bytes_per_s * ici.efficiency;

/** A chip's share of its host's network cards. */
export const dcnRatePerChip = ({ host }: ChipSpec): number => host.dcn_bytes_per_s / host.chips;
