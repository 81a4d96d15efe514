import { availableParallelism } from "node:os";
import { relative, resolve } from "node:path";
import { type Session, openSession } from "@lapidary/trainer";
import { ExitCode, formatDuration, counted } from "@lapidary/std";
import { gemmaParams } from "@lapidary/models";
import { meshSize, printMesh, printTorus } from "@lapidary/topology";
import {
  type GraphRunner,
  type ParityBundle,
  defaultRules,
  parityFailures,
  parityTolerances,
  readParityBundle,
  runParity,
} from "@lapidary/training";
import type { Context } from "../context.js";
import { type ParityResult, parityText } from "../report/parity-text.js";
import type { Progress } from "../terminal/progress.js";
import { orInterrupted } from "../terminal/interrupts.js";
import { type ParityOptions, type ParityPlan, planParity } from "./parity-options.js";

/** Runs a golden bundle on a gang of workers of its own and compares; exit code 0 only within the tolerances. */
export async function parity(context: Context, options: ParityOptions): Promise<ExitCode> {
  const { console, cwd, clock } = context;
  const plan = planParity(options, availableParallelism());
  if (options.workers !== undefined && plan.workers < options.workers)
    console.say(`a mesh of ${printMesh(plan.mesh)} keeps ${plan.workers} of ${options.workers} workers busy: using ${plan.workers}`);
  const directory = resolve(cwd, options.directory);
  const began = clock.monotonic();
  const bundle = await readParityBundle(directory);
  for (const warning of bundle.warnings) console.warn(warning);
  console.detail(
    `${relative(cwd, directory) || directory}: batches of ${bundle.batch} × ${counted(bundle.seq, "token")}; torus ${printTorus(plan.torus)}, ZeRO stage ${plan.zero}, ${plan.numerics}, ${plan.executor}`,
  );
  const result = await measure(context, plan, bundle);
  const tolerances = parityTolerances(plan.numerics);
  console.result({ ...result, warnings: bundle.warnings }, () =>
    parityText(result, tolerances, parityFailures(result, tolerances), console.paint),
  );
  console.detail(`took ${formatDuration(clock.monotonic() - began)}`);
  return result.ok ? ExitCode.done : ExitCode.other;
}

async function measure(context: Context, plan: ParityPlan, bundle: ParityBundle): Promise<ParityResult> {
  const { console, env, interrupts } = context;
  const { mesh, zero, numerics, executor, workers } = plan;
  const progress = console.progress();
  progress.update(`start ${counted(workers, "worker")}`);
  const session = await openSession({
    mesh,
    workers,
    numerics,
    executor,
    zero,
    rules: defaultRules(mesh, gemmaParams(bundle.config)),
    environment: env,
    log: (worker, line) => console.detail(`${worker}: ${line}`),
  });
  try {
    const distances = await orInterrupted(runParity(bundle, withProgress(session, progress)), interrupts.signal);
    const ok = parityFailures(distances, parityTolerances(numerics)).length === 0;
    const collectives = session.collectives("train").map(({ op, axis, count, bytes_per_chip }) => ({ op, axis, count, bytes_per_chip }));
    return { ok, chips: meshSize(mesh), workers: session.workers, mesh: printMesh(mesh), ...distances, collectives };
  } finally {
    progress.end();
    await session.close();
  }
}

/** Runs graphs of the session and shows each in the progress line: five steps, logits and gradients. */
function withProgress(session: Session, progress: Progress): GraphRunner {
  const known = new Set<string>();
  let trained = 0;
  return {
    run(name, graph, inputs) {
      if (!known.has(name)) progress.update(`compile and run ${name}`);
      known.add(name);
      if (name === "train") progress.update("train", `step ${++trained}/5`);
      return session.run(name, graph, inputs);
    },
  };
}
