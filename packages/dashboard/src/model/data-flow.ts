import type { DatasetCard, StageCard } from "@lapidary/api/data-view";

export type FlowUnit = "documents" | "bytes";

/** What a stage removes, by reason. Bytes that a stage cut out of texts that stay are a reason too. */
export interface FlowLoss {
  readonly reason: string;
  readonly amount: number;
  /** Reasons that are drawn as one, because they are small. */
  readonly count: number;
}

interface Band {
  readonly source: string;
  readonly amount: number;
  readonly y: number;
  readonly height: number;
}

/** What is there before the first stage, and after each stage. */
interface FlowColumn {
  /** The stage that delivers it; undefined for what the sources have. */
  readonly stage: string | undefined;
  readonly x: number;
  readonly total: number;
  readonly bands: readonly Band[];
}

interface Drop {
  readonly stage: string;
  readonly x: number;
  readonly y: number;
  readonly height: number;
  readonly losses: readonly FlowLoss[];
  readonly total: number;
}

interface Link {
  readonly source: string;
  readonly kind: "kept" | "dropped";
  readonly path: string;
  readonly amount: number;
  readonly stage: string;
}

export interface FlowLayout {
  readonly width: number;
  readonly height: number;
  readonly columns: readonly FlowColumn[];
  readonly drops: readonly Drop[];
  readonly links: readonly Link[];
}

export const flowSize = { column: 10, main: 190, gap: 34, line: 15, step: 150, left: 4, right: 150, shownLosses: 5 } as const;

/** Amounts of sources before the first stage and after each stage. Stages that have no account yet are left out. */
export function flowAmounts(
  { stages, sources }: DatasetCard,
  unit: FlowUnit,
): readonly { stage: string | undefined; of: ReadonlyMap<string, number> }[] {
  const names = Object.keys(sources);
  const begun = stages.filter(({ done }) => done > 0);
  const after = begun.map((stage) => ({
    stage: stage.stage as string | undefined,
    of: new Map(names.map((name) => [name, amountOf(stage, name, unit)])),
  }));
  const [first] = begun;
  if (first === undefined || unit === "bytes") return after;
  return [{ stage: undefined, of: new Map(names.map((name) => [name, first.bySource[name]?.in ?? 0])) }, ...after];
}

const amountOf = ({ bySource }: StageCard, source: string, unit: FlowUnit): number =>
  (unit === "documents" ? bySource[source]?.out : bySource[source]?.bytes) ?? 0;

/** What a stage removed, the largest first. Reasons after the fifth are one. */
export function lossesOf({ dropped, lost, cut }: StageCard, unit: FlowUnit): readonly FlowLoss[] {
  const cuts = Object.entries(cut).map(([reason, bytes]): [string, number] => [`${reason} (cut from texts)`, bytes]);
  const all = (unit === "documents" ? Object.entries(dropped) : [...Object.entries(lost), ...cuts])
    .filter(([, amount]) => amount > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, amount]): FlowLoss => ({ reason, amount, count: 1 }));
  if (all.length <= flowSize.shownLosses + 1) return all;
  const others = all.slice(flowSize.shownLosses);
  const amount = others.reduce((sum, loss) => sum + loss.amount, 0);
  return [...all.slice(0, flowSize.shownLosses), { reason: `${others.length} other reasons`, amount, count: others.length }];
}

/**
 * A Sankey diagram: the bands of the sources from stage to stage, and below them what each stage drops.
 *
 *     sources ══════ after read ══════ after rules ══════ …
 *                        ╲                 ╲
 *                       bad JSON 3        short 61, lists 70
 *
 * @param available the width of the page; the diagram is wider if its columns need more
 */
export function flowLayout(card: DatasetCard, unit: FlowUnit, available: number): FlowLayout {
  const amounts = flowAmounts(card, unit);
  const totals = amounts.map(({ of }) => [...of.values()].reduce((sum, amount) => sum + amount, 0));
  const scale = flowSize.main / Math.max(1, ...totals);
  const steps = Math.max(1, amounts.length - 1);
  const step = Math.max(flowSize.step, (available - flowSize.left - flowSize.column - flowSize.right) / steps);
  const x = (at: number): number => flowSize.left + at * step;
  const columns = amounts.map(({ stage, of }, at): FlowColumn => {
    let y = flowSize.line + 6;
    const bands = [...of].map(([source, amount]): Band => {
      const band = { source, amount, y, height: amount * scale };
      y += band.height;
      return band;
    });
    return { stage, x: x(at), total: totals[at] ?? 0, bands };
  });
  const links: Link[] = [];
  const drops: Drop[] = [];
  const top = flowSize.line + 6 + flowSize.main + flowSize.gap;
  for (const [at, to] of columns.entries()) {
    const from = columns[at - 1];
    const stage = card.stages.find((each) => each.stage === to.stage && card.stages.indexOf(each) === stageIndex(card, at, unit));
    if (from === undefined || stage === undefined || to.stage === undefined) continue;
    const losses = lossesOf(stage, unit);
    const lost = from.bands.map((band, i) => lostOf(stage, band, to.bands[i]?.amount ?? 0, unit));
    const total = lost.reduce((sum, amount) => sum + amount, 0);
    let dropY = top;
    for (const [i, band] of from.bands.entries()) {
      const target = to.bands[i];
      if (target === undefined) continue;
      const kept = Math.min(band.height, target.height);
      if (target.amount > 0)
        links.push({
          source: band.source,
          kind: "kept",
          stage: to.stage,
          amount: target.amount,
          path: ribbon(from.x + flowSize.column, band.y, kept, to.x, target.y, target.height),
        });
      const height = (lost[i] ?? 0) * scale;
      if (height <= 0) continue;
      links.push({
        source: band.source,
        kind: "dropped",
        stage: to.stage,
        amount: lost[i] ?? 0,
        path: ribbon(from.x + flowSize.column, band.y + kept, height, to.x, dropY, height),
      });
      dropY += height;
    }
    if (total > 0) drops.push({ stage: to.stage, x: to.x, y: top, height: dropY - top, losses, total });
  }
  const below = drops.map(({ height, losses }) => Math.max(height, losses.length * flowSize.line));
  return {
    width: x(steps) + flowSize.column + flowSize.right,
    height: drops.length === 0 ? top - flowSize.gap + 6 : top + Math.max(...below) + 6,
    columns,
    drops,
    links,
  };
}

/** What a stage dropped of a source. While it runs, the documents that it has not seen yet are neither kept nor dropped. */
function lostOf({ bySource, isComplete }: StageCard, before: Pick<Band, "source" | "amount">, after: number, unit: FlowUnit): number {
  const of = bySource[before.source];
  if (unit === "documents") return of === undefined ? 0 : of.in - of.out;
  return isComplete ? Math.max(0, before.amount - after) : 0;
}

/** The stage of a column: documents have a column before the first stage. */
const stageIndex = ({ stages }: DatasetCard, column: number, unit: FlowUnit): number => {
  const begun = stages.flatMap(({ done }, at) => (done > 0 ? [at] : []));
  return begun[unit === "documents" ? column - 1 : column] ?? -1;
};

function ribbon(x1: number, y1: number, h1: number, x2: number, y2: number, h2: number): string {
  const bend = (x1 + x2) / 2;
  const p = (value: number): string => value.toFixed(1);
  // A ribbon of few documents is a line of one pixel.
  const [a, b] = [Math.max(1, h1), Math.max(1, h2)];
  return `M${p(x1)},${p(y1)} C${p(bend)},${p(y1)} ${p(bend)},${p(y2)} ${p(x2)},${p(y2)} L${p(x2)},${p(y2 + b)} C${p(bend)},${p(y2 + b)} ${p(bend)},${p(y1 + a)} ${p(x1)},${p(y1 + a)} Z`;
}
