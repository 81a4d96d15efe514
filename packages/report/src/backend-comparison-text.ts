import type { Comparison } from "@lapidary/offline/backend-comparison";
import { counted, formatBytes, textTable } from "@lapidary/std";

const shownDifferences = 40;

/**
 * The text of `lapidary explain JOB --compare shardy|xla`.
 *
 * @param all whether to list all shardings that differ
 */
export function backendComparisonText(
  { judge: backend, collectives, ours_bytes, theirs_bytes, ratio, shardings, memory }: Comparison,
  all: boolean,
): string {
  const traffic = ({ count, bytes }: { count: number; bytes: number }): string[] =>
    count === 0 ? ["-", "-"] : [String(count), formatBytes(Math.round(bytes))];
  const right = { align: "right" } as const;
  const columns = [
    { title: "collective" },
    { title: "axis" },
    { title: "ours", ...right },
    { title: "bytes/chip", ...right },
    { title: backend, ...right },
    { title: "bytes/chip", ...right },
  ];
  const rows = collectives.map(({ op, axis, ours, theirs }) => [op, axis, ...traffic(ours), ...traffic(theirs)]);
  const total = ["all", "", "", formatBytes(Math.round(ours_bytes)), "", formatBytes(Math.round(theirs_bytes))];
  const lines = [textTable(columns, [...rows, total]), "", `a chip sends ${ratio.toFixed(3)} times the bytes of ${backend}`];
  if (memory !== undefined)
    lines.push(
      `memory of a chip: ours ${formatBytes(memory.ours.arguments)} of arguments, ${formatBytes(memory.ours.peak)} at the peak; ${backend} ${formatBytes(memory.theirs.arguments)} and ${formatBytes(memory.theirs.peak)}`,
    );
  if (shardings !== undefined) {
    const { compared, differences } = shardings;
    const shown = all ? differences : differences.slice(0, shownDifferences);
    lines.push("", `${differences.length} of ${counted(compared, "value")} ${differences.length === 1 ? "is" : "are"} sharded differently`);
    if (shown.length > 0) {
      const heads = [{ title: "value" }, { title: "ours" }, { title: backend }, { title: "origin of ours" }];
      lines.push(
        textTable(
          heads,
          shown.map(({ name, ours, theirs, reason }) => [name, ours, theirs, reason]),
        ),
      );
    }
    if (shown.length < differences.length) lines.push(`… and ${differences.length - shown.length} more: -v shows all of them`);
  }
  return lines.join("\n");
}
