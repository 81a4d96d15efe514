import type { AblationReport } from "@lapidary/api/ablation-report";
import { meanGoal, measuredGain, type SeededRun, summarizeAblation } from "@lapidary/mixture";
import { LapidaryError } from "@lapidary/std";
import type { Confirmation, PlannedAblation, PlannedRun } from "./plan-ablation.js";

/**
 * The report of an ablation whose runs have ended.
 *
 * @param losses the held-out losses by source of each run, by the name of its job
 * @throws LapidaryError LAP_ABLATION_RUNS if a run has no losses
 */
export function ablationReport(plan: PlannedAblation, losses: ReadonlyMap<string, Readonly<Record<string, number>>>): AblationReport {
  const { sources, goal, natural, most, tokens, repeat } = plan;
  const runs = withLosses(plan.runs, losses);
  const mean = (size: string, mixture: number): number | null => {
    const value = meanGoal(runs, size, mixture, goal);
    return Number.isNaN(value) ? null : value;
  };
  const mixtures = [...new Map(runs.map(({ mixture, shares }) => [mixture, shares]))];
  return {
    sources,
    goal,
    tokens,
    repeat,
    most,
    mixtures: mixtures.map(([mixture, shares]) => ({ shares, small: mean("small", mixture), large: mean("large", mixture) })),
    runs,
    ...summarizeAblation(runs, { small: "small", large: "large", goal, natural, most }),
  };
}

/**
 * The report with runs on the recommended mixture.
 *
 * @param losses the held-out losses by source of each of these runs
 * @throws LapidaryError LAP_ABLATION_RUNS if a run has no losses
 */
export function confirmedReport(
  report: AblationReport,
  { runs }: Confirmation,
  losses: ReadonlyMap<string, Readonly<Record<string, number>>>,
): AblationReport {
  const confirming = withLosses(runs, losses);
  const natural = report.runs.filter(({ size, mixture }) => size === "large" && mixture === 0);
  return { ...report, confirming, measured: measuredGain(confirming, natural, report.goal) };
}

function withLosses(runs: readonly PlannedRun[], losses: ReadonlyMap<string, Readonly<Record<string, number>>>): readonly SeededRun[] {
  const missing = runs.find(({ name }) => !losses.has(name));
  if (missing !== undefined)
    throw new LapidaryError({
      code: "LAP_ABLATION_RUNS",
      message: `the run ${missing.name} has no held-out losses`,
      location: missing.name,
      remedy: "resume the run with `lapidary jobs resume`, then repeat the command with the same --name",
    });
  return runs.map(({ name, ...run }): SeededRun => ({ ...run, losses: losses.get(name) ?? {} }));
}
