import { ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { type FuzzTarget, hostileText } from "@lapidary/std/testing";
import fc from "fast-check";
import { resolveJob } from "../job/load-job.js";

/** A valid job file with every section that has its own schema. */
export const jobText = `# a job
model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
zero: 1
train:
  steps: 10
  batch: 32
  optimizer: { name: adamw, lr: 1e-3 }
  guard: { not_finite: skip, spike: 3, max_skipped: 10 }
data: { corpus: ./corpus, held_out: 0.1 }
checkpoint: { every: 4, keep: 3 }
`;

const keys = [
  "train",
  "mesh",
  "mesh.data",
  "rules",
  "model",
  "zero",
  "train.optimizer",
  "train.optimizer.lr",
  "train.batch",
  "sample.prompt",
  "__proto__",
  "constructor.prototype",
];
const numbers = fc.constantFrom("0", "-1", "1e308", "1e999", ".nan", "-.inf", "0x10", "9007199254740993", "null", "true", "~");
const overrides = fc
  .tuple(fc.constantFrom(...keys), fc.oneof(fc.string(), fc.json({ maxDepth: 4 }), numbers))
  .map(([key, value]) => `${key}=${value}`);

/** A job file as JSON, with some of its values replaced by any values. */
export const hostileJob: fc.Arbitrary<Record<string, unknown>> = fc
  .tuple(
    fc.constant({
      model: "nano16",
      pod: "v5e-256",
      mesh: { data: 16, model: 16 },
      train: { steps: 10, batch: 32, optimizer: { name: "sgd", lr: 1 } },
    }),
    fc.dictionary(
      fc.constantFrom("model", "pod", "mesh", "train", "rules", "zero", "data", "__proto__", "x"),
      fc.jsonValue({ maxDepth: 3 }),
      {
        maxKeys: 2,
      },
    ),
  )
  .map(([job, change]) => ({ ...job, ...change }));

/** Any job file with any override is a job, or a `LapidaryError`. @param configsDir the project's `configs` */
export function jobFuzzTarget(configsDir: string): FuzzTarget {
  const environment = { configsDir, base: "/work/here" };
  return {
    name: "job files",
    property: fc.property(
      fc.oneof(
        fc.record({ text: hostileText(fc.constant(jobText)), overrides: fc.constant<string[]>([]) }),
        fc.record({ text: fc.constant(jobText), overrides: fc.array(overrides, { minLength: 1, maxLength: 2 }) }),
        fc.record({ value: hostileJob, overrides: fc.array(overrides, { maxLength: 1 }) }),
      ),
      ({ overrides: given, ...job }) => {
        try {
          resolveJob({ ...job, file: "jobs/mine.yaml", base: "/jobs" }, given, environment);
        } catch (error) {
          ok(error instanceof LapidaryError, error instanceof Error ? error.stack : String(error));
        }
      },
    ) as fc.IRawProperty<unknown>,
  };
}
