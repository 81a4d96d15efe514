import { ensure } from "@lapidary/std";
import { planReport, type PlanReport, utilisation } from "@lapidary/simulator";
import {
  hasOneRun,
  type RunFigures,
  type StepFigures,
  type StepPhase,
  stepPhases,
  timeJob,
  type TimedVariant,
} from "@lapidary/trainer/recipes";
import type { Reporter } from "../reporter.js";
import { adviseFit, type FitAdvice } from "./fit-advice.js";
import { type Budget, budgetOf, programHash, viewMachineOf } from "./plan-job.js";
import type { PlanSubject } from "./plan-subject.js";

/** The runs of a program in a step. Times, flops and bytes are those of one run. */
export interface ProgramPlan extends Pick<PlanReport, "bound" | "mfu" | "collectives"> {
  /** Unique in the step. */
  readonly name: string;
  readonly program: string;
  readonly phase: StepPhase;
  /** Runs in a step, at most. */
  readonly runs: number;
  readonly time_s: number;
  /** Useful flops of all chips together. */
  readonly flops: number;
  /** Bytes of a chip while the program runs: its own peak, and the arrays of other programs by parameter set. */
  readonly hbm_bytes: { readonly program: number; readonly resident: Readonly<Record<string, number>>; readonly peak: number };
}

/** Programs for the same results, between which a job or the prediction decides. */
export interface VariantPlan {
  /** The override that decides for it. */
  readonly name: string;
  readonly is_chosen: boolean;
  readonly is_recommended: boolean;
  readonly step_time_s: number;
  readonly phases_s: Readonly<Record<StepPhase, number>>;
  readonly hbm_bytes_peak: number;
  readonly fits: boolean;
}

/** The report of a step with several programs, as `lapidary plan --json` prints it. Shared names mean the same as in a `PlanReport`. */
export interface ProgramsReport
  extends Pick<
    PlanReport,
    | "chip"
    | "chips"
    | "pods"
    | "torus"
    | "mesh"
    | "parameters"
    | "tokens_per_step"
    | "step_time_s"
    | "tokens_per_s"
    | "mfu"
    | "calibration"
    | "hbm_limit"
    | "fits"
  > {
  /** `peak` of all programs; the bytes of each parameter set and of each group of arrays that pass from program to program. */
  readonly hbm_bytes: { readonly peak: number; readonly sets: Readonly<Record<string, number>> };
  /** Seconds of a step by phase. Their sum is `step_time_s`. */
  readonly phases_s: Readonly<Record<StepPhase, number>>;
  readonly programs: readonly ProgramPlan[];
  /** Empty if the programs have no variants. */
  readonly variants: readonly VariantPlan[];
}

export interface ProgramsPlan {
  readonly report: ProgramsReport;
  readonly budget: Budget;
  /** Of the step program. */
  readonly programHash: string;
  readonly advice: readonly FitAdvice[];
}

/**
 * Compiles all programs that a step of a job runs, and times them on a model of the chips. Nothing runs.
 *
 * @returns undefined if the step is one run of one program, which `planStep` describes
 */
export function planPrograms({ job, machine, read, fixes }: PlanSubject, reporter: Pick<Reporter, "progress">): ProgramsPlan | undefined {
  if (hasOneRun(job)) return undefined;
  reporter.progress("compile and time the programs of the step");
  const view = viewMachineOf(machine, job);
  const { chosen, recommended, variants } = timeJob(job, view);
  const { figures } = chosen;
  const updated = ensure(figures.runs.at(-1), "run");
  const plans = variants.map((variant) => variantPlan(variant, chosen, recommended));
  const report = programsReport(figures, variants.length === 1 ? [] : plans);
  const figuresOf = (overrides: readonly string[]): { hbm_bytes_peak: number; step_time_s: number } => {
    const changed = timeJob(read(overrides), view).chosen.figures;
    return { hbm_bytes_peak: changed.hbmBytesPeak, step_time_s: changed.seconds };
  };
  if (!report.fits) reporter.progress("try what would make it fit");
  return {
    report,
    budget: budgetOf(job, report),
    programHash: programHash(updated.simulation),
    advice: report.fits ? [] : adviseFit(job, { peak: report.hbm_bytes.peak, limit: report.hbm_limit }, figuresOf, fixes),
  };
}

const variantPlan = (variant: TimedVariant, chosen: TimedVariant, recommended: TimedVariant): VariantPlan => ({
  name: variant.name,
  is_chosen: variant === chosen,
  is_recommended: variant === recommended,
  step_time_s: variant.figures.seconds,
  phases_s: variant.figures.secondsOf,
  hbm_bytes_peak: variant.figures.hbmBytesPeak,
  fits: variant.figures.fits,
});

function programsReport(figures: StepFigures, variants: readonly VariantPlan[]): ProgramsReport {
  const { runs, seconds, secondsOf, hbmBytesPeak, fits, sets } = figures;
  const last = ensure(runs.at(-1), "run");
  const { chip, chips, pods, torus, mesh, calibration, parameters, tokens_per_step, hbm_limit } = planReport(last.simulation);
  const flops = runs.reduce((sum, { run, simulation }) => sum + run.runs * flopsOf(simulation.flops), 0);
  return {
    ...{ chip, chips, pods, torus, mesh, calibration, parameters, tokens_per_step, hbm_limit, fits },
    step_time_s: seconds,
    tokens_per_s: tokens_per_step / seconds,
    mfu: utilisation({ machine: last.simulation.machine, stepSeconds: seconds }, flops),
    hbm_bytes: { peak: hbmBytesPeak, sets: Object.fromEntries(sets) },
    phases_s: Object.fromEntries(stepPhases.map((phase) => [phase, secondsOf[phase]])) as ProgramsReport["phases_s"],
    programs: runs.map(programPlan),
    variants,
  };
}

function programPlan({ run, simulation, resident, hbmBytesPeak }: RunFigures): ProgramPlan {
  const { step_time_s, bound, mfu, collectives } = planReport(simulation);
  const { name, program, phase, runs } = run;
  return {
    ...{ name, program, phase, runs, bound, mfu, collectives },
    time_s: step_time_s,
    flops: flopsOf(simulation.flops),
    hbm_bytes: { program: simulation.memory.peakBytes, resident: Object.fromEntries(resident), peak: hbmBytesPeak },
  };
}

const flopsOf = ({ weights, attention }: { readonly weights: number; readonly attention: number }): number => weights + attention;
