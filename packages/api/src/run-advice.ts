import { formatBytes } from "@lapidary/std";
import type { WorkerStep } from "./frames.js";
import type { ProgramView } from "./program-view.js";
import type { GoodputReport, JobSummary } from "./schemas.js";
import { stragglerOf } from "./straggler.js";

/** What is wrong with a run, and what to do next. */
export interface RunAdvice {
  readonly kind: "memory" | "straggler" | "goodput" | "collectives";
  /** What is wrong, with its figures. */
  readonly problem: string;
  /** Why, and what would help. */
  readonly remedy: string;
  /** The command that does it. JOB stands for the job file of a run that is done. */
  readonly command: string;
}

export interface AdvisedRun {
  readonly summary: Pick<JobSummary, "id" | "state" | "step" | "steps" | "goodput">;
  /** The resolved job, as `GET /api/jobs/:id` has it. */
  readonly job?: unknown;
  /** Absent before the program is compiled. */
  readonly program?: {
    readonly memory: Pick<ProgramView["memory"], "peak_bytes" | "limit_bytes">;
    readonly timeline: ProgramView["timeline"];
  };
  /** The recent steps of the workers. */
  readonly workerSteps: readonly WorkerStep[];
}

/** A goodput below this share is a problem. */
const minGoodput = 0.9;
/** Waits for collectives above this share of the predicted step are a problem. */
const maxCollectiveWait = 0.3;

/** What to do next for a run in which something is wrong, the most severe first. Empty if nothing is. */
export function adviceOf(run: AdvisedRun): readonly RunAdvice[] {
  return [memoryAdvice(run), goodputAdvice(run), stragglerAdvice(run), collectiveAdvice(run)].flatMap((advice) => advice ?? []);
}

function memoryAdvice({ summary: { id }, program }: AdvisedRun): RunAdvice | undefined {
  if (program === undefined || program.memory.peak_bytes <= program.memory.limit_bytes) return undefined;
  const { peak_bytes, limit_bytes } = program.memory;
  return {
    kind: "memory",
    problem: `does not fit: a ${program.timeline.chip} chip needs ${formatBytes(peak_bytes)} and has ${formatBytes(limit_bytes)}`,
    remedy: "the plan names changes that make it fit",
    command: `lapidary plan ${id}`,
  };
}

function stragglerAdvice({ summary: { id }, workerSteps }: AdvisedRun): RunAdvice | undefined {
  const straggler = stragglerOf(workerSteps);
  if (straggler === undefined) return undefined;
  const { worker, busy_ms, others_ms } = straggler;
  return {
    kind: "straggler",
    problem: `worker ${worker} is a straggler: busy ${Math.round(busy_ms)} ms of a step, the others ${Math.round(others_ms)} ms`,
    remedy: "end other programs on its core; a trace shows its calls next to those of the others",
    command: `lapidary trace ${id} -o ${id}.json`,
  };
}

function collectiveAdvice({ summary: { id }, program }: AdvisedRun): RunAdvice | undefined {
  if (program === undefined || program.timeline.total_us === 0) return undefined;
  const { exposed_us, total_us, chip } = program.timeline;
  const share = exposed_us / total_us;
  if (share <= maxCollectiveWait) return undefined;
  return {
    kind: "collectives",
    problem: `a ${chip} chip waits for collectives in ${percent(share)} of the predicted step`,
    remedy: "another mesh, ZeRO stage or batch may wait less",
    command: `lapidary plan ${id} --search`,
  };
}

type Loss = keyof GoodputReport["lost_ms"];

/** Losses that grow with the steps. The others occur once. */
const lossesPerStep: readonly Loss[] = ["evaluate", "checkpoint"];

/**
 * The goodput of a run at its end: that of a run that goes on is extrapolated, because its preparation weighs less with each step.
 *
 * @returns the share, and each loss as a share of the whole time
 */
function goodputAtEnd({ state, step, steps, goodput }: AdvisedRun["summary"]): { ratio: number; lost: [Loss, number][] } | undefined {
  if (goodput === undefined || step === 0 || goodput.wall_ms === 0) return undefined;
  const more = state === "running" ? Math.max(1, steps / step) : 1;
  const committed = goodput.committed_ms * more;
  const lost = (Object.entries(goodput.lost_ms) as [Loss, number][]).map(([loss, ms]): [Loss, number] => [
    loss,
    lossesPerStep.includes(loss) ? ms * more : ms,
  ]);
  const whole = committed + lost.reduce((sum, [, ms]) => sum + ms, 0);
  return { ratio: committed / whole, lost: lost.map(([loss, ms]) => [loss, ms / whole]) };
}

function goodputAdvice(run: AdvisedRun): RunAdvice | undefined {
  const atEnd = goodputAtEnd(run.summary);
  if (atEnd === undefined || atEnd.ratio >= minGoodput) return undefined;
  const [loss, share] = atEnd.lost.reduce((worst, each) => (each[1] > worst[1] ? each : worst));
  const { remedy, command } = againstLoss(run, loss, share, atEnd.ratio);
  const when = run.summary.state === "running" ? " will be" : " is";
  return {
    kind: "goodput",
    problem: `goodput${when} ${percent(atEnd.ratio)}: ${percent(share)} of the time ${lossNames[loss]}`,
    remedy,
    command,
  };
}

const lossNames: Readonly<Record<Loss, string>> = {
  setup: "prepares data, program and workers",
  recover: "recovers from failures",
  replay: "repeats steps that were committed before",
  evaluate: "evaluates",
  checkpoint: "waits for checkpoints",
  failed: "went to steps that failed",
  stopped: "had no coordinator",
};

function againstLoss({ summary, job }: AdvisedRun, loss: Loss, share: number, ratio: number): Pick<RunAdvice, "remedy" | "command"> {
  const { id, steps } = summary;
  switch (loss) {
    case "setup": {
      // The preparation then takes a tenth of the time.
      const wanted = Math.ceil((steps * share * minGoodput) / ((1 - minGoodput) * ratio));
      return {
        remedy: "more steps share the preparation, and caches shorten it for the next run",
        command: change(summary, "train.steps", wanted),
      };
    }
    case "evaluate":
      return rarer(valueAt(job, "train", "eval", "every"), "train.eval.every", "evaluate less often");
    case "checkpoint":
      return rarer(valueAt(job, "checkpoint", "every"), "checkpoint.every", "write checkpoints less often");
    case "stopped":
      return { remedy: "a coordinator continues the run", command: "lapidary up" };
    case "recover":
    case "replay":
    case "failed":
      return { remedy: "its log names the failures", command: `lapidary logs ${id}` };
  }

  /** `every` so that the loss takes a twentieth of the time. */
  function rarer(every: unknown, key: string, remedy: string): Pick<RunAdvice, "remedy" | "command"> {
    const now = typeof every === "number" ? every : 1;
    return { remedy, command: change(summary, key, Math.ceil(now * Math.max(2, 20 * share))) };
  }
}

/** The value of nested keys. */
function valueAt(job: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((at, key) => (typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined), job);
}

/** The command that changes a key of a run: it continues from its last checkpoint, or, if it is done, the next run has the change. */
function change({ id, state }: AdvisedRun["summary"], key: string, value: number): string {
  if (state === "done") return `lapidary launch JOB ${key}=${value}`;
  const resume = `lapidary jobs resume ${id} ${key}=${value}`;
  return state === "running" ? `lapidary jobs cancel ${id} && ${resume}` : resume;
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;
