import type { AblationReport } from "@lapidary/api/ablation-report";
import { textTable } from "@lapidary/std";

/** Below this rank correlation, the order of mixtures of the small size says little about the large size. */
const reliableCorrelation = 0.8;

/** The report of an ablation as text: the mixtures with their losses, the models, and the recommendation with its limits. */
export function ablationText(report: AblationReport): string {
  const { sources, goal, mixtures, models, recommended, natural, most, repeat, tokens } = report;
  const digits = (value: number | null): string => value?.toFixed(4) ?? "";
  const weights = sources.map((source) => `${source} ${(goal[source] ?? 0).toFixed(2)}`).join(", ");
  const range = ({ value, low, high }: AblationReport["natural"]["loss"]): string =>
    `${value.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)} over the seeds)`;
  return [
    `Held-out loss of each mixture in nats per token, weighted by source (${weights}), mean over the seeds`,
    textTable(
      [
        ...sources.map((title) => ({ title, align: "right" as const })),
        { title: "small", align: "right" },
        { title: "large", align: "right" },
      ],
      mixtures.map(({ shares, small, large }) => [...shares.map((share) => share.toFixed(3)), digits(small), digits(large)]),
    ),
    "",
    `Rank correlation of both sizes: ${correlationText(report.rankCorrelation)}`,
    ...Object.entries(models).map(
      ([source, { name, heldOutError }]) => `Model of ${source}: ${name}, error on runs that it did not see ${heldOutError.toFixed(4)}`,
    ),
    "",
    `Recommended: ${sources.map((source, i) => `${source} ${(recommended.shares[i] ?? 0).toFixed(3)}${limitText(recommended.shares[i], Math.min(most[i] ?? 1, largestOf(mixtures, i)))}`).join(", ")}`,
    `  predicted loss of the large size ${range(recommended.loss)}`,
    `  of the natural mixture           ${range(natural.loss)}`,
    `  limits: a run of ${tokens} tokens that reads each source at most ${repeat} times, and no larger share of a source than in the mixtures above`,
    ...measuredText(report),
  ].join("\n");
}

/** What runs on the recommended mixture measured, next to runs on the natural one with the same seeds. */
function measuredText({ measured, natural }: AblationReport): readonly string[] {
  if (measured === undefined) return ["  not trained: `confirm: true` in the file trains the large size on it"];
  const { recommended, gain, standardError, better } = measured;
  const mean = (values: readonly number[]): string => (values.reduce((sum, each) => sum + each, 0) / values.length).toFixed(4);
  const certain = standardError !== undefined && Math.abs(gain) > 2 * standardError;
  return [
    "",
    `Measured with the large size: recommended ${mean(recommended)}, natural ${mean(measured.natural)} (${natural.shares.length} sources, ${recommended.length} seeds)`,
    `  the recommended mixture is ${Math.abs(gain).toFixed(4)} ${gain >= 0 ? "better" : "worse"}${standardError === undefined ? "" : ` ± ${standardError.toFixed(4)} (standard error)`}, better with ${better} of ${recommended.length} seeds`,
    ...(certain ? [] : ["  this difference is within its error: more seeds or longer runs would tell"]),
  ];
}

const largestOf = (mixtures: AblationReport["mixtures"], source: number): number =>
  Math.max(...mixtures.map(({ shares }) => shares[source] ?? 0));

const limitText = (share = 0, most = 1): string => (most < 1 && share > most - 1e-3 ? " (at its limit)" : "");

function correlationText(value: number | undefined): string {
  if (value === undefined) return "unknown, because fewer than three mixtures have runs of both sizes";
  const text = value.toFixed(2);
  return value < reliableCorrelation ? `${text}; the small size is not a reliable guide for the large size` : text;
}
