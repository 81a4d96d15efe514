import { stripVTControlCharacters } from "node:util";
import type { JobSummary, Status } from "@lapidary/api";
import type { RunAdvice } from "@lapidary/api/run-advice";
import { formatCount, formatDuration } from "@lapidary/std";
import type { Paint } from "./paint.js";

export interface TopFacts {
  readonly status: Status;
  /** Jobs that have chips or wait for chips, in display order. */
  readonly jobs: readonly JobSummary[];
  /** Busy and waiting time of each worker in the last step, by job. */
  readonly workers: ReadonlyMap<string, readonly { readonly busy_ms: number; readonly wait_ms: number }[]>;
  /** What to do next, by job. */
  readonly advice: ReadonlyMap<string, readonly RunAdvice[]>;
  readonly now: number;
}

const letters = "abcdefghijklmnopqrstuvwxyz";
const barWidth = 24;

/**
 * The pods with the job of each chip, as text:
 *
 *        ╷ ╷ ╷ ╷
 *       ╶a─a─a─a╴    a  quickstart-1  running  ████████░░░░  120/300  loss 3.012
 *       ╶a─a─a─a╴
 *       ╶b─b─b─b╴    b  nano-2        running  …
 *       ╶·─·─·─·╴       one letter per chip, a dot for a free chip; half links at the edges wrap around
 *        ╵ ╵ ╵ ╵
 */
export function topFrame({ status, jobs, workers, advice, now }: TopFacts, columns: number, paint: Paint): string {
  const letterOf = new Map(jobs.map(({ id }, i) => [id, letters[i % letters.length] ?? "?"]));
  const { pods } = status;
  const busy = status.workers.filter(({ job }) => job !== undefined).length;
  const head = `${paint.bold("lapidary")}  up ${formatDuration(now - status.started_at)}   workers ${busy} of ${status.workers.length} busy   redis ${status.redis.connected ? "ok" : paint.red("away")}${pods === undefined ? "" : `   chips ${pods.chips - pods.free_chips} of ${pods.chips} taken`}`;
  const left = pods === undefined ? ["no pod is in use"] : podLines(pods, letterOf, paint);
  const right = jobs.flatMap((job) =>
    jobLines(job, letterOf.get(job.id) ?? "?", workers.get(job.id) ?? [], advice.get(job.id) ?? [], paint),
  );
  const leftWidth = Math.max(0, ...left.map(plainLength));
  // On a narrow terminal, jobs are below the pods.
  const fitsSideBySide = leftWidth + 44 <= columns;
  const rows = fitsSideBySide
    ? Array.from(
        { length: Math.max(left.length, right.length) },
        (_, i) => `${left[i] ?? ""}${" ".repeat(leftWidth - plainLength(left[i] ?? ""))}   ${right[i] ?? ""}`,
      )
    : [...left, "", ...right];
  return [head, "", ...rows].map((row) => cut(row, columns).trimEnd()).join("\n");
}

function podLines(pods: NonNullable<Status["pods"]>, letterOf: ReadonlyMap<string, string>, paint: Paint): string[] {
  const dims = pods.torus.split("x").map(Number);
  const [rows, across] = [dims.length >= 2 ? (dims.at(-2) ?? 1) : 1, dims.at(-1) ?? 1];
  const inside = (slice: { readonly origin: readonly number[]; readonly dims: readonly number[] }, place: readonly number[]): boolean =>
    place.every((c, i) => {
      const d = slice.origin.length - place.length + i;
      return d < 0 || (c >= (slice.origin[d] ?? 0) && c < (slice.origin[d] ?? 0) + (slice.dims[d] ?? 1));
    });
  return Array.from({ length: pods.pods }, (_, pod) => pod).flatMap((pod) => {
    const stubs = (mark: string): string => paint.dim(`  ${Array.from({ length: across }, () => mark).join(" ")} `);
    const chips = Array.from({ length: rows }, (_, row) => {
      const cells = Array.from({ length: across }, (__, column) => {
        const owner = pods.slices.find(
          (slice) => pod >= slice.pod && pod < slice.pod + slice.pods && inside(slice, dims.length >= 2 ? [row, column] : [column]),
        );
        const letter = owner === undefined ? undefined : letterOf.get(owner.job);
        return letter === undefined ? paint.dim("·") : paint.cyan(letter);
      });
      return ` ${paint.dim("╶")}${cells.join(paint.dim("─"))}${paint.dim("╴")}`;
    });
    return [paint.dim(`  pod ${pod} ${pods.name}`), stubs("╷"), ...chips, stubs("╵")];
  });
}

function jobLines(
  job: JobSummary,
  letter: string,
  workers: readonly { readonly busy_ms: number; readonly wait_ms: number }[],
  advice: readonly RunAdvice[],
  paint: Paint,
): string[] {
  const share = job.steps === 0 ? 0 : Math.min(1, job.step / job.steps);
  const full = Math.round(share * barWidth);
  const bar = `${"█".repeat(full)}${paint.dim("░".repeat(barWidth - full))}`;
  const facts = [
    job.loss === undefined ? "" : `loss ${job.loss.toFixed(3)}`,
    job.tokens_per_s === undefined ? "" : `${formatCount(job.tokens_per_s)} tokens/s`,
    job.eta_s === undefined ? "" : `${formatDuration(job.eta_s * 1000)} to go`,
  ].filter((text) => text !== "");
  const longest = Math.max(1e-9, ...workers.map(({ busy_ms, wait_ms }) => busy_ms + wait_ms));
  return [
    `${paint.cyan(letter)}  ${paint.bold(job.id)}  ${job.state}${job.activity === undefined ? "" : `: ${job.activity.what}`}`,
    `   ${bar} ${job.step}/${job.steps}`,
    ...(facts.length === 0 ? [] : [`   ${facts.join("   ")}`]),
    ...workers.slice(0, 8).map(({ busy_ms, wait_ms }, worker) => {
      const [b, w] = [Math.round((busy_ms / longest) * barWidth), Math.round((wait_ms / longest) * barWidth)];
      return `   ${"▬".repeat(b)}${paint.yellow("▬".repeat(w))} ${paint.dim(`worker ${worker}: ${Math.round(busy_ms)} ms busy, ${Math.round(wait_ms)} waiting`)}`;
    }),
    ...adviceLines(advice, paint).map((line) => `   ${line}`),
    "",
  ];
}

/** What is wrong with a run, each problem with the command that helps. */
export const adviceLines = (advice: readonly RunAdvice[], paint: Paint): string[] =>
  advice.flatMap(({ problem, remedy, command }) => [`${paint.yellow("▲")} ${problem}`, `  ${remedy}:`, `  ${paint.bold(command)}`]);

const plainLength = (text: string): number => [...stripVTControlCharacters(text)].length;

/** Cuts a line to a number of columns. Colour marks take no column. */
function cut(text: string, columns: number): string {
  if (plainLength(text) <= columns) return text;
  let shown = 0;
  let out = "";
  for (const part of text.split(/(\u001b\[\d+m)/)) {
    if (part.startsWith("\u001b[")) out += part;
    else {
      const kept = [...part].slice(0, Math.max(0, columns - shown));
      shown += kept.length;
      out += kept.join("");
    }
  }
  return out;
}
