import type { LossReport, ModelComparison, SetReport, WinReport } from "@lapidary/api";
import { counted, textTable, visible, wrap } from "@lapidary/std";

/** Font weights of a terminal. */
interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
}

const plain: Paint = { bold: (text) => text, dim: (text) => text };

/** The text of `lapidary compare`: one section for each file of held-out examples. */
export function modelComparisonText(report: ModelComparison, columns = 100, paint: Paint = plain): string {
  const { candidate, baseline, sets } = report;
  const heads = [
    ["candidate", modelName(candidate)],
    ["baseline", modelName(baseline)],
    ["verdicts", sourceText(report)],
  ];
  const width = Math.max(20, Math.min(columns - 6, 100));
  return [
    ...heads.map(([title = "", text = ""]) => `${paint.dim(title.padEnd(9))}  ${text}`),
    ...sets.flatMap((set) => ["", ...setLines(set, width, paint)]),
  ].join("\n");
}

const modelName = ({ name, run, step }: ModelComparison["candidate"]): string =>
  run === null || step === null ? name : `${run}, step ${step}`;

function sourceText({ source }: ModelComparison): string {
  switch (source.kind) {
    case "none":
      return "none";
    case "checker":
      return `checker ${source.checker}`;
    case "judge":
      return `judge ${modelName(source.judge)}, template ${source.template}, ${source.orders === "both" ? "both orders" : "shuffled order"}`;
    case "reward":
      return `reward model ${source.reward}`;
    case "verdicts":
      return source.file;
  }
}

function setLines(set: SetReport, width: number, paint: Paint): readonly string[] {
  const { data, prompts, unjudged, refused, result, answers, loss } = set;
  const counts = [
    ...(prompts === 0 ? [] : [counted(prompts, "prompt")]),
    ...(unjudged === 0 ? [] : [`${unjudged} without a verdict`]),
    ...(refused.length === 0 ? [] : [`${counted(refused.length, "row")} not used`]),
  ];
  return [
    paint.bold(`${data}${counts.length === 0 ? "" : `: ${counts.join(", ")}`}`),
    ...(result === null ? [] : winLines(result, set.result_by_subset)),
    ...(answers === null ? [] : answerLines(answers)),
    ...distanceLines(set),
    ...(loss === null ? [] : ["", ...lossLines(loss, set.loss_by_subset)]),
    ...set.samples.flatMap((sample) => ["", ...sampleLines(sample, width, paint)]),
  ];
}

const right = { align: "right" } as const;

function winLines(all: WinReport, subsets: SetReport["result_by_subset"]): readonly string[] {
  const table = textTable(
    [
      { title: "subset" },
      { title: "wins", ...right },
      { title: "ties", ...right },
      { title: "losses", ...right },
      { title: "win rate", ...right },
      { title: "95 % (normal)", ...right },
      { title: "95 % (Wilson)", ...right },
      { title: "sign test p", ...right },
    ],
    [["all", all] as const, ...Object.entries(subsets)].map(([name, each]) => [
      name,
      String(each.wins),
      String(each.ties),
      String(each.losses),
      each.rate.toFixed(3),
      interval(each.normal95),
      interval(each.wilson95),
      each.sign_test_p < 0.001 ? each.sign_test_p.toExponential(1) : each.sign_test_p.toFixed(3),
    ]),
  );
  return [table, "", conclusion(all), ...(all.scores === null ? [] : [scoresLine(all.scores)]), ...judgeLines(all), ...lengthLines(all)];
}

const interval = ([low, high]: readonly [number, number]): string => `${low.toFixed(3)} – ${high.toFixed(3)}`;

/** The interval of Wilson decides, because it is not empty if all outcomes are equal. */
function conclusion({ wilson95: [low, high] }: WinReport): string {
  if (low > 0.5) return "The candidate is better: 0.5 is below the interval of Wilson.";
  if (high < 0.5) return "The baseline is better: 0.5 is above the interval of Wilson.";
  return "The result does not decide: 0.5 is inside of the interval of Wilson.";
}

const scoresLine = ({ candidate, baseline }: { readonly candidate: number; readonly baseline: number }): string =>
  `mean score: candidate ${candidate.toFixed(3)}, baseline ${baseline.toFixed(3)}`;

function judgeLines({ contradictions, contradiction_share, first_share, mean_mass, equal_answers }: WinReport): readonly string[] {
  if (first_share === null) return equal_answers === 0 ? [] : [`equal answers: ${equal_answers}`];
  return [
    ...(contradictions === null
      ? []
      : [
          `contradictions after a swap of the answers: ${contradictions}${contradiction_share === null ? "" : ` (${percent(contradiction_share)})`}`,
        ]),
    `share of the first position: ${percent(first_share)}`,
    `equal answers, not judged: ${equal_answers}`,
    ...(mean_mass === null ? [] : [`mean probability of A, B and C together: ${percent(mean_mass)}`]),
  ];
}

const lengthLines = ({ winner_mean_length: winner, loser_mean_length: loser, longer_share }: WinReport): readonly string[] =>
  winner === null || loser === null
    ? []
    : [
        `mean length: winners ${winner.toFixed(1)} characters, losers ${loser.toFixed(1)}; the longer answer wins in ${percent(longer_share)}`,
      ];

const answerLines = ({ candidate, baseline }: NonNullable<SetReport["answers"]>): readonly string[] => [
  `answers of the candidate: ${candidate.mean_length.toFixed(1)} characters, ${candidate.mean_tokens.toFixed(1)} tokens, ${percent(candidate.cut_off_share)} cut off`,
  `answers of the baseline: ${baseline.mean_length.toFixed(1)} characters, ${baseline.mean_tokens.toFixed(1)} tokens, ${percent(baseline.cut_off_share)} cut off`,
];

function distanceLines({ divergence, optimum }: SetReport): readonly string[] {
  return [
    ...(divergence === null
      ? []
      : [
          `KL of the candidate to the baseline: ${divergence.nats_per_answer.toFixed(3)} ± ${divergence.standard_error.toFixed(3)} nats an answer`,
        ]),
    ...(optimum === null
      ? []
      : [
          `best policy for β ${optimum.beta}: right answers ${optimum.accuracy.toFixed(3)}, KL ${optimum.kl.toFixed(3)}; the baseline answers right with probability ${optimum.baseline_probability.toFixed(3)}`,
        ]),
  ];
}

function lossLines(all: LossReport, subsets: SetReport["loss_by_subset"]): readonly string[] {
  return [
    textTable(
      [
        { title: "loss (nats/token)" },
        { title: "candidate", ...right },
        { title: "baseline", ...right },
        { title: "difference", ...right },
        { title: "tokens", ...right },
      ],
      [["all", all] as const, ...Object.entries(subsets)].map(([name, { candidate, baseline, candidate_tokens }]) => [
        name,
        candidate.toFixed(4),
        baseline.toFixed(4),
        `${candidate > baseline ? "+" : ""}${(candidate - baseline).toFixed(4)}`,
        String(candidate_tokens),
      ]),
    ),
  ];
}

function sampleLines(
  { id, prompt, candidate, baseline, outcome }: SetReport["samples"][number],
  width: number,
  paint: Paint,
): readonly string[] {
  const block = (title: string, text: string): readonly string[] => [
    `  ${paint.dim(title)}`,
    ...wrap(visible(text), width).map((line) => `  ${paint.dim("│")} ${line.text}`.trimEnd()),
  ];
  return [
    paint.bold(`${id}${outcome === null ? "" : `: ${outcome}`}`),
    ...block("prompt", prompt),
    ...block("candidate", candidate),
    ...block("baseline", baseline),
  ];
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
