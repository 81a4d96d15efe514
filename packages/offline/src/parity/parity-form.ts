import { join } from "node:path";
import { type BuildOptions, type ModelConfig, paramsOf } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { makeMesh, printTorus } from "@lapidary/topology";
import { buildOptionsOf, defaultRules, type LossChunks, lossChunksOf } from "@lapidary/training";
import { modelFileOf, type ResolvedJob, resolveLocatedJob } from "@lapidary/training/job";
import { type ParityOptions, type ParityPlan, torusFor } from "./parity-plan.js";

/** The sharding of a parity run, and how its programs compute the model. */
export interface ParityForm {
  readonly rules: ResolvedJob["rules"];
  readonly zero: 0 | 1 | 2 | 3;
  readonly build: BuildOptions;
  readonly chunks: LossChunks | undefined;
}

/** The rows and tokens of a batch of a bundle. */
interface BatchShape {
  readonly batch: number;
  readonly seq: number;
}

/** Keys of a job that change how a bundle is computed, and none of its numbers. */
const overridden = ["rules", "context", "moe", "pipeline"] as const;

/**
 * The form of a run is that of a job with the model of the bundle, so that a mesh, a strategy and overrides mean the same as in a job file,
 * and are refused for the same reasons. A mixture on an axis `expert` is dispatched by capacity, with a slot for every choice.
 *
 * @param places `configsDir` has `strategies`, and `base` is the directory of relative paths
 * @throws LAP_PARITY_OPTION for an override of another key, or a capacity that drops tokens; errors of job files
 */
export function parityForm(
  plan: ParityPlan,
  config: ModelConfig,
  { batch, seq }: BatchShape,
  { strategy, overrides, zero }: Pick<ParityOptions, "strategy" | "overrides" | "zero">,
  { configsDir, base }: { readonly configsDir: string; readonly base: string },
): ParityForm {
  for (const override of overrides) checkOverride(override);
  const { axes } = plan.mesh;
  const isPlain =
    strategy === undefined &&
    overrides.length === 0 &&
    !axes.some(({ name }) => name === "expert" || name === "context" || name === "stage");
  const count = plan.chunks?.count ?? 1;
  if (isPlain) {
    const rules = defaultRules(plan.mesh, paramsOf(config));
    return { rules, zero: plan.zero, build: {}, chunks: lossChunksOf({ mesh: axes, rules, loss_chunks: count }) };
  }
  const pods = axes.find(({ name }) => name === "pod")?.size ?? 1;
  const torus = printTorus(pods === 1 ? plan.torus : torusFor(makeMesh(axes.filter(({ name }) => name !== "pod"))));
  const isMixture = config.experts !== undefined && axes.some(({ name, size }) => name === "expert" && size > 1);
  const value = {
    model: modelFileOf("bundle", config),
    pod: { name: "parity", torus, chip: "v5e", host: torus },
    pods,
    mesh: Object.fromEntries(axes.map(({ name, size }) => [name, size])),
    ...(strategy === undefined ? {} : { strategy }),
    ...(zero === undefined ? {} : { zero: plan.zero }),
    ...(isMixture ? { moe: { dispatch: "capacity" } } : {}),
    train: { steps: 1, batch, seq, microbatches: plan.microbatches, optimizer: { name: "adamw", lr: 1 } },
  };
  const { job } = resolveLocatedJob({ value, file: "lapidary parity", base: join(configsDir, "..") }, overrides, {
    configsDir,
    base,
  });
  return {
    rules: job.rules,
    zero: job.zero,
    build: withEveryChoice(job, buildOptionsOf(job)),
    chunks: lossChunksOf({ mesh: axes, rules: job.rules, loss_chunks: count }),
  };
}

function checkOverride(override: string): void {
  if (overridden.some((key) => override.startsWith(`${key}.`) || override.startsWith(`${key}=`))) return;
  throw new LapidaryError({
    code: "LAP_PARITY_OPTION",
    message: `parity takes overrides of ${overridden.join(", ")} only, not ${JSON.stringify(override)}`,
    location: `override ${override}`,
    remedy: "write a key such as rules.seq=context, context.strategy=heads or moe.dispatch=dense",
  });
}

/** The reference drops no choice, so that each expert needs a slot for every token of a row. */
function withEveryChoice(job: ResolvedJob, build: BuildOptions): BuildOptions {
  const { experts } = job.model.config;
  if (build.dispatch?.kind !== "capacity" || experts === undefined) return build;
  const needed = experts.count / experts.perToken;
  const given = job.moe?.capacity_factor;
  if (given !== undefined && given < needed)
    throw new LapidaryError({
      code: "LAP_PARITY_OPTION",
      message: `moe.capacity_factor ${given} may drop tokens, which the reference computes`,
      location: "moe.capacity_factor",
      remedy: `use ${needed} = experts / per_token, which drops none, or omit it`,
    });
  return { ...build, dispatch: { kind: "capacity", capacityFactor: given ?? needed } };
}
