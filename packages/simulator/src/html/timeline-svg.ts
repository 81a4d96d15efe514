import type { Resource } from "../network/transfer.js";
import { ensure } from "@lapidary/std";
import type { Simulation } from "../simulate.js";
import { label, rect, svg } from "./svg.js";

const width = 1120;
const left = 150;
const rowHeight = 22;
const rowGap = 6;

interface Slice {
  readonly from: number;
  readonly to: number;
  readonly kind: string;
  readonly title: string;
}

/** A drawing of the step, or of a part of it, as streams: kernels and waits of the core, then the transfers of each resource. */
export function timelineSvg(simulation: Simulation, name: string, from = 0, to = simulation.timeline.seconds): string {
  const rows = streamsOf(simulation)
    .map(({ title, slices }) => ({ title, slices: slices.filter((slice) => slice.to > from && slice.from < to) }))
    .filter(({ slices }) => slices.length > 0);
  const scale = (width - left - 10) / (to - from);
  const x = (time: number): number => left + (Math.min(to, Math.max(from, time)) - from) * scale;
  const parts = rows.flatMap(({ title, slices }, row) => {
    const y = 24 + row * (rowHeight + rowGap);
    return [
      label(left - 10, y + 15, title, "label", "end"),
      ...merged(slices, 0.4 / scale).map((slice) =>
        rect({ x: x(slice.from), y, width: Math.max(0.4, x(slice.to) - x(slice.from)), height: rowHeight }, slice.kind, slice.title),
      ),
    ];
  });
  const ticks = Array.from({ length: 6 }, (_, i) => from + ((to - from) * i) / 5).map((time) =>
    label(x(time), 14, millis(time), "tick", "middle"),
  );
  return svg(width, 30 + rows.length * (rowHeight + rowGap), name, [...ticks, ...parts]);
}

function streamsOf({ timeline, list, machine }: Simulation): { title: string; slices: Slice[] }[] {
  const span = (from: number, to: number): string => `${millis(to - from)} from ${millis(from)}`;
  const core: Slice[] = [
    ...timeline.kernels.map(({ kernel, from, to }) => ({
      from,
      to,
      kind: `k ${kernel.scope.phase}`,
      title: `${kernel.name} (${kernel.scope.phase}, ${kernel.kind}, limited by ${kernel.limit}): ${span(from, to)}`,
    })),
    ...timeline.waits.map(({ transfer, from, to }) => ({
      from,
      to,
      kind: "wait",
      title: `waits for ${ensure(list.transfers[transfer], "transfer").op} ${ensure(list.transfers[transfer], "transfer").name}: ${span(from, to)}`,
    })),
  ].sort((a, b) => a.from - b.from);
  const names: [Resource, string][] = [
    ...machine.torus.dims.map((_, dim): [Resource, string] => [`ici${dim}`, `links, dim ${dim}`]),
    ["dcn", "between pods"],
    ["to_host", "to host"],
    ["from_host", "from host"],
  ];
  return [
    { title: "core", slices: core },
    ...names.map(([resource, title]) => ({
      title,
      slices: timeline.transfers
        .flatMap(({ transfer: id, stages }) => {
          const transfer = ensure(list.transfers[id], "transfer");
          return stages
            .filter(({ stage }) => stage.resources.includes(resource))
            .map(({ from, to }) => ({
              from,
              to,
              kind: `t ${transfer.op}`,
              title: `${transfer.op} over ${transfer.axis} of ${transfer.name}: ${span(from, to)}`,
            }));
        })
        .sort((a, b) => a.from - b.from),
    })),
  ];
}

/** Merges adjacent slices of one kind that are too short to be visible, so that a step of ten thousand kernels is a small file. */
function merged(slices: readonly Slice[], shortest: number): Slice[] {
  const out: Slice[] = [];
  for (const slice of slices) {
    const last = out.at(-1);
    if (
      last !== undefined &&
      last.kind === slice.kind &&
      slice.from - last.to < shortest &&
      (slice.to - slice.from < shortest || last.to - last.from < shortest)
    )
      out[out.length - 1] = { ...last, to: Math.max(last.to, slice.to) };
    else if (last === undefined || slice.to - last.to >= shortest / 4 || slice.to - slice.from >= shortest) out.push(slice);
  }
  return out;
}

const millis = (seconds: number): string => (seconds >= 10 ? `${seconds.toFixed(2)} s` : `${(seconds * 1e3).toFixed(2)} ms`);

/** Begin and end of the middle block in the forward pass, and of the same block in the backward pass. */
export function middleBlock({
  timeline,
}: Simulation): { forward: readonly [number, number]; backward: readonly [number, number] } | undefined {
  const inBlocks = timeline.kernels.filter(({ kernel: { scope } }) => scope.phase !== "update" && scope.block !== undefined);
  const numbers = [...new Set(inBlocks.flatMap(({ kernel }) => kernel.scope.block ?? []))].sort((a, b) => a - b);
  const middle = numbers[Math.floor(numbers.length / 2)];
  const rangeOf = (backward: boolean): readonly [number, number] | undefined => {
    const own = inBlocks.filter(({ kernel: { scope } }) => scope.block === middle && (scope.phase !== "forward") === backward);
    const [first, last] = [own[0], own.at(-1)];
    return first === undefined || last === undefined ? undefined : [first.from, last.to];
  };
  const [forward, backward] = [rangeOf(false), rangeOf(true)];
  return forward === undefined || backward === undefined ? undefined : { forward, backward };
}
