import { availableParallelism } from "node:os";
import { relative } from "node:path";
import type { CollectiveSummary } from "@lapidary/compiler";
import { isPostBundle } from "@lapidary/post-training";
import { counted, type Warning } from "@lapidary/std";
import { meshSize, printMesh, printTorus } from "@lapidary/topology";
import type { Session } from "@lapidary/trainer";
import {
  type GraphRunner,
  type ParityBundle,
  type ParityDeviations,
  type ParityTolerances,
  parityFailures,
  parityTolerances,
  readParityBundle,
  runParity,
} from "@lapidary/training";
import type { Reporter } from "../reporter.js";
import { type ParityOptions, type ParityPlan, checkChunks, checkMicrobatches, planParity } from "./parity-plan.js";
import { type ParityForm, parityForm } from "./parity-form.js";
import { type ParityEnvironment, withParitySession } from "./parity-session.js";
import { type PostParityOutcome, comparePostTraining, partOptionError } from "./post-parity.js";
import { isStepBundle } from "./step-bundle.js";
import { compareStep, type StepParityOutcome } from "./step-parity.js";

export type { ParityTolerances } from "@lapidary/training";
export type { ParityOptions } from "./parity-plan.js";
export type { PostParityResult } from "./post-parity.js";
export type { StepParityResult } from "./step-parity.js";

/** The fields that `lapidary parity --json` prints. */
export interface ParityResult extends ParityDeviations {
  readonly ok: boolean;
  readonly chips: number;
  readonly workers: number;
  readonly mesh: string;
  readonly collectives: readonly Omit<CollectiveSummary, "why">[];
}

export interface ParityOutcome {
  readonly kind: "pretraining";
  readonly result: ParityResult;
  readonly tolerances: ParityTolerances;
  /** Names of the deviations above their tolerance. */
  readonly failures: readonly string[];
  readonly warnings: readonly Warning[];
}

/**
 * Runs a golden bundle on a worker group of its own and compares the results with those of PyTorch; a bundle of post-training with those of
 * TRL, PEFT and transformers; an exported step with those of JAX.
 *
 * @param options `directory` is absolute
 */
export async function compareWithGolden(
  options: ParityOptions,
  environment: ParityEnvironment,
  reporter: Reporter,
): Promise<ParityOutcome | PostParityOutcome | StepParityOutcome> {
  const { directory } = options;
  if (isStepBundle(directory)) return compareStep(options, environment, reporter);
  const plan = planParity(options, availableParallelism());
  if (options.workers !== undefined && plan.workers < options.workers)
    reporter.say(`a mesh of ${printMesh(plan.mesh)} keeps ${plan.workers} of ${options.workers} workers busy: using ${plan.workers}`);
  if (isPostBundle(directory)) return comparePostTraining(options, plan, environment, reporter);
  if (options.part !== undefined) throw partOptionError("a bundle of pretraining has no parts", "omit --part");
  const bundle = await readParityBundle(directory);
  bundle.warnings.forEach(reporter.warn);
  checkChunks(plan, bundle.seq);
  checkMicrobatches(plan, bundle.batch);
  reporter.detail(
    `${relative(environment.cwd, directory) || directory}: batches of ${bundle.batch} × ${counted(bundle.seq, "token")}; torus ${printTorus(plan.torus)}, ${plan.numerics}, ${plan.executor}`,
  );
  const tolerances = parityTolerances(plan.numerics);
  const places = { configsDir: environment.configsDir, base: environment.cwd };
  const form = parityForm(plan, bundle.config, bundle, options, places);
  const deviations = await measure({ plan, form }, bundle, environment, reporter);
  const failures = parityFailures(deviations, tolerances);
  return { kind: "pretraining", result: { ok: failures.length === 0, ...deviations }, tolerances, failures, warnings: bundle.warnings };
}

async function measure(
  { plan, form }: { readonly plan: ParityPlan; readonly form: ParityForm },
  bundle: ParityBundle,
  environment: ParityEnvironment,
  reporter: Reporter,
): Promise<Omit<ParityResult, "ok">> {
  return withParitySession(plan, form, environment, reporter, async (session) => {
    const { microbatches } = plan;
    const deviations = await runParity(bundle, withProgress(session, reporter), { chunks: form.chunks, microbatches, build: form.build });
    const collectives = session.collectives("train").map(({ op, axis, count, bytes_per_chip }) => ({ op, axis, count, bytes_per_chip }));
    return { chips: meshSize(plan.mesh), workers: session.workers, mesh: printMesh(plan.mesh), ...deviations, collectives };
  });
}

/** Runs graphs of the session and reports each: five steps, logits and gradients. */
function withProgress(session: Session, reporter: Reporter): GraphRunner {
  const known = new Set<string>();
  let trained = 0;
  return {
    run(name, graph, inputs) {
      if (!known.has(name)) reporter.progress(`compile and run ${name}`);
      known.add(name);
      if (name === "train") reporter.progress("train", `step ${++trained}/5`);
      return session.run(name, graph, inputs);
    },
  };
}
