import { availableParallelism } from "node:os";
import { relative } from "node:path";
import type { CollectiveSummary } from "@lapidary/compiler";
import { gemmaParams } from "@lapidary/models";
import { counted, raceAbort, type Warning } from "@lapidary/std";
import { meshSize, printMesh, printTorus } from "@lapidary/topology";
import { type Session, openSession } from "@lapidary/trainer";
import {
  type GraphRunner,
  type ParityBundle,
  type ParityDeviations,
  type ParityTolerances,
  defaultRules,
  parityFailures,
  parityTolerances,
  readParityBundle,
  runParity,
} from "@lapidary/training";
import type { Reporter } from "../reporter.js";
import { type ParityOptions, type ParityPlan, planParity } from "./parity-plan.js";

export type { ParityTolerances } from "@lapidary/training";
export type { ParityOptions } from "./parity-plan.js";

/** The fields that `lapidary parity --json` prints. */
export interface ParityResult extends ParityDeviations {
  readonly ok: boolean;
  readonly chips: number;
  readonly workers: number;
  readonly mesh: string;
  readonly collectives: readonly Omit<CollectiveSummary, "why">[];
}

export interface ParityOutcome {
  readonly result: ParityResult;
  readonly tolerances: ParityTolerances;
  /** Names of the deviations above their tolerance. */
  readonly failures: readonly string[];
  readonly warnings: readonly Warning[];
}

/** The process in which a parity run starts its workers. */
export interface ParityEnvironment {
  readonly cwd: string;
  /** The environment of worker processes. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/**
 * Runs a golden bundle on a worker group of its own and compares the results with those of PyTorch.
 *
 * @param options `directory` is absolute
 */
export async function compareWithGolden(
  options: ParityOptions,
  environment: ParityEnvironment,
  reporter: Reporter,
): Promise<ParityOutcome> {
  const { directory } = options;
  const plan = planParity(options, availableParallelism());
  if (options.workers !== undefined && plan.workers < options.workers)
    reporter.say(`a mesh of ${printMesh(plan.mesh)} keeps ${plan.workers} of ${options.workers} workers busy: using ${plan.workers}`);
  const bundle = await readParityBundle(directory);
  bundle.warnings.forEach(reporter.warn);
  reporter.detail(
    `${relative(environment.cwd, directory) || directory}: batches of ${bundle.batch} × ${counted(bundle.seq, "token")}; torus ${printTorus(plan.torus)}, ZeRO stage ${plan.zero}, ${plan.numerics}, ${plan.executor}`,
  );
  const tolerances = parityTolerances(plan.numerics);
  const deviations = await measure(plan, bundle, environment, reporter);
  const failures = parityFailures(deviations, tolerances);
  return { result: { ok: failures.length === 0, ...deviations }, tolerances, failures, warnings: bundle.warnings };
}

async function measure(
  { mesh, zero, numerics, executor, workers }: ParityPlan,
  bundle: ParityBundle,
  { env, signal }: ParityEnvironment,
  reporter: Reporter,
): Promise<Omit<ParityResult, "ok">> {
  reporter.progress(`start ${counted(workers, "worker")}`);
  const session = await openSession({
    mesh,
    workers,
    numerics,
    executor,
    zero,
    rules: defaultRules(mesh, gemmaParams(bundle.config)),
    environment: env,
    log: (worker, line) => reporter.detail(`${worker}: ${line}`),
  });
  try {
    const deviations = await raceAbort(runParity(bundle, withProgress(session, reporter)), signal);
    const collectives = session.collectives("train").map(({ op, axis, count, bytes_per_chip }) => ({ op, axis, count, bytes_per_chip }));
    return { chips: meshSize(mesh), workers: session.workers, mesh: printMesh(mesh), ...deviations, collectives };
  } finally {
    await session.close();
  }
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
