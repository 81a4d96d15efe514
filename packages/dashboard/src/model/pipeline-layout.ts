/** A job of a pipeline and the jobs that it needs. */
interface Needing {
  readonly name: string;
  readonly needs: readonly string[];
}

interface PlacedJob {
  readonly name: string;
  /** The longest chain of needs before the job. */
  readonly column: number;
  readonly row: number;
}

export interface PipelineLayout {
  readonly columns: number;
  readonly rows: number;
  readonly jobs: readonly PlacedJob[];
  readonly edges: readonly { readonly from: PlacedJob; readonly to: PlacedJob }[];
}

/**
 * A graph with one column for each number of jobs that must be done before. A job is in the row nearest to those of its needs.
 *
 *     sft ──► reward ──► rl
 *        └──────────────►┘
 */
export function pipelineLayout(jobs: readonly Needing[]): PipelineLayout {
  const columnOf = new Map<string, number>();
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const column = (name: string, below: ReadonlySet<string>): number => {
    const known = columnOf.get(name);
    if (known !== undefined) return known;
    // The coordinator refuses cycles, and jobs without the needs that they name.
    const needs = (byName.get(name)?.needs ?? []).filter((need) => byName.has(need) && !below.has(need));
    const found = needs.reduce((most, need) => Math.max(most, 1 + column(need, new Set([...below, name]))), 0);
    columnOf.set(name, found);
    return found;
  };
  const taken = new Set<string>();
  const placed = new Map<string, PlacedJob>();
  const ordered = jobs.map(({ name }) => ({ name, at: column(name, new Set()) })).sort((a, b) => a.at - b.at);
  for (const { name, at } of ordered) {
    const rows = (byName.get(name)?.needs ?? []).flatMap((need) => placed.get(need)?.row ?? []);
    const wanted = rows.length === 0 ? 0 : Math.round(rows.reduce((sum, row) => sum + row, 0) / rows.length);
    const row = nearestFree(wanted, (each) => taken.has(`${at} ${each}`));
    taken.add(`${at} ${row}`);
    placed.set(name, { name, column: at, row });
  }
  const all = [...placed.values()];
  return {
    columns: 1 + Math.max(-1, ...all.map((job) => job.column)),
    rows: 1 + Math.max(-1, ...all.map((job) => job.row)),
    jobs: all,
    edges: jobs.flatMap(({ name, needs }) =>
      needs.flatMap((need) => {
        const [from, to] = [placed.get(need), placed.get(name)];
        return from === undefined || to === undefined ? [] : [{ from, to }];
      }),
    ),
  };
}

function nearestFree(wanted: number, isTaken: (row: number) => boolean): number {
  for (let distance = 0; ; distance++) for (const row of [wanted + distance, wanted - distance]) if (row >= 0 && !isTaken(row)) return row;
}
