import type { JobSummary } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { WorkerStep } from "@lapidary/api/frames";
import { type AdvisedRun, adviceOf, type RunAdvice } from "@lapidary/api/run-advice";
import { LapidaryError } from "@lapidary/std";

/** Steps of the workers that the advice for a run considers. */
const recentSteps = 20;

/** What of a run does not change: its job and its program. */
export type RunDetail = Pick<AdvisedRun, "job" | "program">;

export async function recentWorkerSteps(
  client: CoordinatorClient,
  { id, step }: Pick<JobSummary, "id" | "step">,
): Promise<readonly WorkerStep[]> {
  const { FrameReader } = await import("@lapidary/api/frames");
  const from = Math.max(0, step - recentSteps);
  const [frame] = new FrameReader().push(await client.workerSteps(id, { from, points: recentSteps }));
  return frame?.kind === "worker steps" ? frame.steps : [];
}

export async function readDetail(client: CoordinatorClient, id: string): Promise<RunDetail> {
  const { job } = await client.get(id);
  try {
    return { job, program: await client.program(id) };
  } catch (error) {
    // Views of earlier versions, and runs that ended before their program was compiled, have no program.
    if (error instanceof LapidaryError && error.code === "LAP_JOB_NO_PROGRAM") return { job };
    throw error;
  }
}

/** What to do next for a run, as the page of the run shows it. */
export async function adviceFor(client: CoordinatorClient, summary: JobSummary): Promise<readonly RunAdvice[]> {
  if (summary.dataset !== undefined || summary.step === 0) return [];
  const [workerSteps, detail] = await Promise.all([recentWorkerSteps(client, summary), readDetail(client, summary.id)]);
  return adviceOf({ summary, workerSteps, ...detail });
}
