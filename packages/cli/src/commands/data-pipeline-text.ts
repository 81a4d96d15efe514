import { join } from "node:path";
import type {
  DatasetDifference,
  DocumentHistory,
  PipelineStatus,
  RuleEffect,
  RunResult,
  StageAccount,
  StageFate,
} from "@lapidary/offline/data-pipeline";
import { formatBytes, formatCount, textTable } from "@lapidary/std";

const right = (title: string): { readonly title: string; readonly align: "right" } => ({ title, align: "right" });

export function runText(out: string, { computed, found, stages, dataset }: RunResult): string {
  const total = Object.values(dataset?.sources ?? {}).reduce((sum, { tokens }) => sum + tokens, 0);
  const end = dataset === undefined ? "no stage tokenize: no dataset.json" : `${join(out, "dataset.json")}: ${formatCount(total)} tokens`;
  return `${stageTableText(stages)}\n\n${computed} objects computed, ${found} found\n${end}`;
}

export const stageTableText = (stages: readonly StageAccount[]): string =>
  textTable(
    [{ title: "stage" }, { title: "shards" }, right("in"), right("out"), right("text"), { title: "most frequent reasons" }],
    stages.map(({ stage, done, shards, counts }) => [
      stage,
      `${done}/${shards}`,
      String(counts.in),
      String(counts.out),
      formatBytes(counts.bytes),
      reasonsText(counts.dropped),
    ]),
  );

const reasonsText = (dropped: Readonly<Record<string, number>>): string =>
  Object.entries(dropped)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(", ");

export const stateText = ({ pid, isComplete, isPublished }: PipelineStatus): string =>
  pid !== undefined ? `process ${pid} runs it` : isPublished && isComplete ? "published" : isComplete ? "complete" : "not complete";

const shownIds = 10;

export function effectText({ change, in: all, kept, gained, lost, bySource, dropped }: RuleEffect): string {
  const reasons = [...new Set([...Object.keys(dropped.before), ...Object.keys(dropped.after)])].filter(
    (reason) => dropped.before[reason] !== dropped.after[reason],
  );
  const ids = (title: string, list: readonly string[]): readonly string[] =>
    list.length === 0
      ? []
      : [
          `${title}: ${list
            .slice(0, shownIds)
            .map((id) => id.slice(0, 12))
            .join(" ")}${list.length > shownIds ? " …" : ""}`,
        ];
  return [
    `${change}: ${kept.after} of ${all} documents stay; now ${kept.before} (+${gained.length} −${lost.length})`,
    ...Object.entries(bySource).map(([source, { before, after }]) => `  ${source}: ${before} → ${after}`),
    ...reasons.map((reason) => `  dropped as ${reason}: ${dropped.before[reason] ?? 0} → ${dropped.after[reason] ?? 0}`),
    ...ids("gained", gained),
    ...ids("lost", lost),
  ].join("\n");
}

export const historyText = ({ id, source, name, file, place, stages, isKept }: DocumentHistory): string =>
  [
    `${id} ${isKept ? "kept" : "not kept"}`,
    `  ${source}/${file} ${place} (${name})`,
    ...stages.map((fate) => `  ${fate.stage}: ${fateText(fate)}`),
  ].join("\n");

function fateText(fate: StageFate): string {
  switch (fate.kind) {
    case "dropped":
      return `dropped (${fate.reason})`;
    case "changed":
      return `changed (${[...new Set(fate.removed)].join(", ")})`;
    case "encoded":
      return `${fate.tokens} tokens`;
    case "measured":
      return Object.entries(fate.values)
        .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : (value ?? "none")}`)
        .join(", ");
    case "kept":
    case "not run":
      return fate.kind;
  }
}

export function differenceText({ stages, sources, added, removed, changed }: DatasetDifference): string {
  return [
    ...stages.map(({ stage, before = "absent", after = "absent" }) => `${stage}:\n  - ${before}\n  + ${after}`),
    textTable(
      [{ title: "source" }, { title: "documents" }, { title: "tokens" }, { title: "text" }],
      Object.entries(sources).map(([name, { before, after }]) => [
        name,
        `${before.documents} → ${after.documents}`,
        `${before.tokens} → ${after.tokens}`,
        `${formatBytes(before.bytes)} → ${formatBytes(after.bytes)}`,
      ]),
    ),
    `${added.length} documents added, ${removed.length} removed, ${changed.length} with another number of tokens`,
  ].join("\n");
}
