import { counted, raceAbort } from "@lapidary/std";
import { type Session, openSession } from "@lapidary/trainer";
import type { Reporter } from "../reporter.js";
import type { ParityForm } from "./parity-form.js";
import type { ParityPlan } from "./parity-plan.js";

/** The process in which a parity run starts its workers. */
export interface ParityEnvironment {
  readonly cwd: string;
  /** The directory with `strategies`. */
  readonly configsDir: string;
  /** The environment of worker processes. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Runs `use` on a worker group of its own, which ends with it. */
export async function withParitySession<T>(
  { mesh, numerics, executor, workers }: ParityPlan,
  { rules, zero }: Pick<ParityForm, "rules" | "zero">,
  { env, signal }: ParityEnvironment,
  reporter: Reporter,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  reporter.progress(`start ${counted(workers, "worker")}`);
  const session = await openSession({
    mesh,
    workers,
    numerics,
    executor,
    zero,
    rules,
    environment: env,
    log: (worker, line) => reporter.detail(`${worker}: ${line}`),
  });
  try {
    return await raceAbort(use(session), signal);
  } finally {
    await session.close();
  }
}
