/** `npm run bench -- --case data`: the stages of a data pipeline, in turn with datatrove and SentencePiece. */
import { join } from "node:path";
import { projectRoot } from "../setup/session.mjs";

/** @typedef {{ stage: string, mb_per_s: number, ours: { peak_bytes: number }, peer?: { name: string, mb_per_s: number }, ratio?: number, goal?: number }} StageReport */
/** @typedef {{ core: number | undefined, repetitions: number, peer: Record<string, string> | undefined, stages: readonly StageReport[] }} DataReport */

/**
 * @param {{ readonly python: string | undefined, readonly pairs: number, readonly tell: (what: string) => void }} options `python`: an interpreter with
 *   datatrove and sentencepiece
 * @returns {Promise<DataReport>}
 */
export async function measureData({ python, pairs, tell }) {
  const { benchData } = await import(new URL("../../packages/offline/dist/data/bench/bench.js", import.meta.url).href);
  return benchData(
    {
      fixtures: join(projectRoot, "e2e/golden/data"),
      stages: [],
      peer: python,
      repetitions: python === undefined ? 1 : pairs,
      env: process.env,
    },
    { progress: (/** @type {string} */ phase) => tell(phase) },
  );
}

/** The goals that were measured. @param {DataReport} report */
export const checkData = ({ stages }) =>
  stages.flatMap(({ stage, ratio, goal, peer }) =>
    ratio === undefined || goal === undefined || peer === undefined
      ? []
      : [{ what: `data ${stage}: ${ratio.toFixed(1)}× the speed of ${peer.name} (goal ${goal})`, met: ratio >= goal }],
  );

/** @param {DataReport} report @returns {string} a table of Markdown, with the conditions before it */
export function dataTable({ core, repetitions, peer, stages }) {
  const versions = Object.entries(peer ?? {}).map(([name, version]) => `${name} ${version}`);
  const where = core === undefined ? "not bound to a core" : "on one core";
  const rows = stages.map(({ stage, mb_per_s, ours, peer: other, ratio, goal }) => [
    stage,
    mb_per_s.toFixed(1),
    other === undefined ? "" : `${other.name} ${other.mb_per_s.toFixed(2)}`,
    ratio === undefined ? "" : `${ratio.toFixed(1)}×`,
    goal === undefined ? "" : `${goal}×${ratio === undefined ? "" : ratio >= goal ? ": met" : ": **missed**"}`,
    `${Math.round(ours.peak_bytes / 1e6)} MB`,
  ]);
  const head = ["stage", "MB/s", "peer MB/s", "ratio", "goal", "memory"];
  return `${new Date().toISOString().slice(0, 10)}, \`lapidary data bench\`, ${where}, median of ${repetitions}. MB of text for each second of
processor time. ${versions.length === 0 ? "No peer was measured." : `In turn with ${versions.join(" and ")}.`}

${[head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")}
`;
}
