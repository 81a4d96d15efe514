import { join } from "node:path";
import type { Histogram } from "@lapidary/data-store";
import { formatBytes, replaceFile } from "@lapidary/std";
import type { DatasetCard, LimitCard, StageCard } from "./card.js";
import type { RecitationReport, RecitationTally } from "./recitation-file.js";

/**
 * Writes `card.md` and `card.json` to the directory of the dataset.
 *
 * @returns their paths
 */
export function writeCard(out: string, card: DatasetCard): readonly string[] {
  const [text, json] = [join(out, "card.md"), join(out, "card.json")];
  replaceFile(text, cardText(card));
  replaceFile(json, `${JSON.stringify(card, null, 1)}\n`);
  return [text, json];
}

/** The card as Markdown. */
export function cardText(card: DatasetCard): string {
  const { sources, stages, limits, tokenizer, isPublished, contamination, recitation } = card;
  const shownLimits = limits.filter(({ histogram }) => Object.keys(histogram).length > 0);
  const parts = [
    "# Data card",
    ...(isPublished ? [] : ["\n**The pipeline has no published dataset yet.**"]),
    `\nPipeline: \`${card.file}\``,
    "\n## Sources\n",
    table(
      ["source", "licence", "documents", "text", "tokens", "share"],
      Object.entries(sources).map(([name, { licence, documents, bytes, tokens, share }]) => [
        name,
        licence,
        String(documents),
        formatBytes(bytes),
        String(tokens),
        percent(share),
      ]),
    ),
    ...Object.entries(sources).flatMap(([name, { damagedFiles }]) =>
      damagedFiles.map(({ file, reason }) => `\nDamaged file of ${name}: \`${file}\` (${reason}).`),
    ),
    "\n## Stages\n",
    table(
      ["stage", "in", "out", "lost", "text out"],
      stages.map(({ stage, isComplete, in: all, out, bytes }) => [
        isComplete ? stage : `${stage} (not complete)`,
        String(all),
        String(out),
        all === 0 ? "0 %" : percent((all - out) / all),
        formatBytes(bytes),
      ]),
    ),
    ...stages.flatMap(stageText),
    ...(shownLimits.length === 0 ? [] : ["\n## Limits\n", limitTable(shownLimits)]),
    ...(tokenizer === undefined ? [] : ["\n## Tokenizer\n", `\`${tokenizer.file}\`, ${tokenizer.vocab_size} ids.`]),
    ...contaminationText(contamination),
    ...recitation.flatMap(recitationText),
  ];
  return `${parts.join("\n")}\n`;
}

function stageText({ stage, dropped, cut, bySource, examples, changedNothing, in: all }: StageCard): readonly string[] {
  const reasons = Object.entries(dropped).sort(([, a], [, b]) => b - a);
  const cuts = Object.entries(cut);
  if (changedNothing) return [`\n### ${stage}\n`, "This stage changed nothing."];
  if (reasons.length === 0 && cuts.length === 0) return [];
  const sources = Object.entries(bySource);
  return [
    `\n### ${stage}\n`,
    ...(reasons.length === 0
      ? []
      : [
          table(
            ["reason", "documents", "share"],
            reasons.map(([reason, count]) => [reason, String(count), percent(count / all)]),
          ),
        ]),
    ...(cuts.length === 0
      ? []
      : [
          "",
          table(
            ["removed from texts", "bytes"],
            cuts.map(([reason, bytes]) => [reason, String(bytes)]),
          ),
        ]),
    ...(sources.length < 2
      ? []
      : [
          "",
          table(
            ["source", "in", "out"],
            sources.map(([name, counts]) => [name, String(counts.in), String(counts.out)]),
          ),
        ]),
    ...(examples.length === 0
      ? []
      : [
          "\nDropped documents, a uniform sample of all and of each reason:\n",
          table(
            ["document", "reason", "begin"],
            examples.map(({ id, reason, excerpt }) => [`\`${id.slice(0, 12)}\``, reason, cell(excerpt.slice(0, 100))]),
          ),
        ]),
  ];
}

function contaminationText(sets: DatasetCard["contamination"]): readonly string[] {
  if (Object.keys(sets).length === 0) return [];
  return [
    "\n## Evaluation sets\n",
    table(
      ["set", "items", "documents with an item", "items found", "items of common text"],
      Object.entries(sets).map(([set, { items, documents, touched, common }]) => [set, ...[items, documents, touched, common].map(String)]),
    ),
  ];
}

function recitationText({
  run,
  step,
  prompt,
  continuation,
  share,
  sources,
  canaries,
  most_exposure: most,
}: RecitationReport): readonly string[] {
  const part = (count: number, all: number): string => (all === 0 ? "–" : percent(count / all));
  const tallied = ({ tested, exact, approximate }: RecitationTally): readonly string[] => [
    String(tested),
    part(exact, tested),
    part(approximate, tested),
  ];
  const heads = ["tested", "exact", "approximate"];
  return [
    `\n## Recitation of ${run}${step === null ? "" : `, step ${step}`}\n`,
    `The model continues ${prompt} tokens of a text. Exact: the next ${continuation} are those of the text. Approximate: the edit distance is at most ${percent(share)}.`,
    ...(sources.length === 0
      ? []
      : [
          "",
          table(
            ["source", "documents", ...heads, "personal data in the output"],
            sources.map((each) => [
              each.name,
              each.split === "heldout" ? "held out" : "trained",
              ...tallied(each),
              String(Object.values(each.personal).reduce((sum, count) => sum + count, 0)),
            ]),
          ),
        ]),
    ...(canaries.length === 0
      ? []
      : [
          "",
          table(
            ["copies of a canary", ...heads, "secret given", `exposure, of ${most.toFixed(1)} bits`],
            canaries.map((each) => [
              String(each.times),
              ...tallied(each),
              part(each.extracted, each.secrets),
              each.exposure === null ? "–" : each.exposure.toFixed(1),
            ]),
          ),
        ]),
  ];
}

/** Bars of eight heights. The limit is between the bars at `|`. */
function limitTable(limits: readonly LimitCard[]): string {
  return table(
    ["limit", "value", "documents by value"],
    limits.map(({ limit, value, histogram }) => [limit, String(value), `\`${histogramText(histogram, value)}\``]),
  );
}

const heights = "▁▂▃▄▅▆▇█";
const maxBars = 24;

function histogramText(histogram: Histogram, limit: number): string {
  const bins = Object.entries(histogram)
    .filter(([bin]) => bin !== "none")
    .map(([bin, count]) => [Number(bin), count] as const);
  const size = Math.max(1, Math.ceil(bins.length / maxBars));
  const groups = Array.from({ length: Math.ceil(bins.length / size) }, (_, i) => bins.slice(i * size, (i + 1) * size));
  const counts = groups.map((group) => group.reduce((sum, [, count]) => sum + count, 0));
  const most = Math.max(1, ...counts);
  const bars = counts.map((count) => heights[Math.min(7, Math.floor((8 * count) / (most + 1)))] ?? "");
  const found = groups.findIndex((group) => (group[0]?.[0] ?? 0) >= limit);
  const at = found < 0 ? bars.length : found;
  return `${bars.slice(0, at).join("")}|${bars.slice(at).join("")}`;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const cell = (text: string): string => text.replace(/[|`\\<>*_[\]]/g, (sign) => `\\${sign}`).replace(/\s+/g, " ");

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
