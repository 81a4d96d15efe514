import { chipCount, atomOf } from "@lapidary/topology";
import type { Placement } from "../network/placement.js";
import type { Timeline } from "../timeline/run-timeline.js";
import type { StepList, Transfer } from "../timeline/step-list.js";

/** Seconds in which the core waits, by transfer and by mesh axis. */
export interface Exposure {
  /** By mesh axis; axes that one collective spans together are joined by `+`. */
  readonly byAxis: ReadonlyMap<string, number>;
  readonly dcn: number;
  readonly host: number;
  readonly byTransfer: ReadonlyMap<number, number>;
}

export function exposureOf(timeline: Timeline, list: StepList, placement: Placement): Exposure {
  const byAxis = new Map<string, number>();
  const byTransfer = new Map<number, number>();
  let [dcn, host] = [0, 0];
  const stages = new Map(timeline.transfers.map((span) => [span.transfer, span.stages]));
  for (const { transfer: id, from, to } of timeline.waits) {
    const transfer = list.transfers[id];
    if (transfer === undefined) continue;
    byTransfer.set(id, (byTransfer.get(id) ?? 0) + to - from);
    if (transfer.axis === "host") {
      host += to - from;
      continue;
    }
    const { inside, between } = axesOf(transfer, placement);
    let rest = to - from;
    for (const span of stages.get(id) ?? []) {
      if (!span.stage.resources.includes("dcn")) continue;
      const seconds = Math.max(0, Math.min(to, span.to) - Math.max(from, span.from));
      dcn += seconds;
      rest -= seconds;
      byAxis.set(between, (byAxis.get(between) ?? 0) + seconds);
    }
    if (inside !== "") byAxis.set(inside, (byAxis.get(inside) ?? 0) + rest);
    else if (rest > 0) byAxis.set(between, (byAxis.get(between) ?? 0) + rest);
  }
  return { byAxis, dcn, host, byTransfer };
}

/** Names of the axes that a transfer spans inside a pod and between pods. */
function axesOf({ atoms }: Transfer, { mesh, slice }: Placement): { inside: string; between: string } {
  const names = (between: boolean): string =>
    [
      ...new Set(
        atoms
          .map((id) => atomOf(mesh, id))
          .filter((atom) => atom.stride >= chipCount(slice) === between)
          .map(({ axis }) => axis),
      ),
    ].join("+");
  return { inside: names(false), between: names(true) };
}
