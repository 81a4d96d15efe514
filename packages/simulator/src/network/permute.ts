import { ensure } from "@lapidary/std";
import { chipCount, parseAtoms, replicaGroups } from "@lapidary/topology";
import { type Value, type ValueOf, shiftPieces } from "@lapidary/ir";
import { dcnRatePerChip, linkRate, wrapsAt } from "../chip/chip-spec.js";
import type { Placement } from "./placement.js";
import type { Resource, Stage } from "./stage.js";

/** A message between two chips, by their numbers in the mesh. */
interface Message {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/**
 * The stages of a collective_permute. Inside a pod every message takes the shortest path, one dim of the torus after the other, and the
 * link with the most bytes decides the time. So axes with a stride share links, and the way back along a line takes all its hops.
 * Messages between pods use the cards of the hosts at the same time.
 *
 * @param bytes of the operand on one chip
 */
export function permuteStages(placement: Placement, value: ValueOf<"collective_permute">, operand: Value, bytes: number): Stage[] {
  const { attrs } = value;
  const rows = ensure(operand.type.dims[attrs.dimension], "dim");
  const perPod = chipCount(placement.slice);
  const messages = replicaGroups(placement.mesh, parseAtoms(placement.mesh, attrs.axes)).flatMap((group) =>
    group.flatMap((to, part) =>
      shiftPieces(group.length, rows, part, attrs).flatMap((piece): Message[] =>
        piece.part === undefined || piece.part === part
          ? []
          : [{ from: ensure(group[piece.part], "chip"), to, bytes: (bytes * (piece.limit - piece.start)) / rows }],
      ),
    ),
  );
  const podOf = (chip: number): number => Math.floor(chip / perPod);
  const inside = messages.filter(({ from, to }) => podOf(from) === podOf(to));
  const between = messages.filter(({ from, to }) => podOf(from) !== podOf(to));
  return [...torusStages(placement, inside), ...podStages(placement, between)];
}

/** The messages of a pod, if there are any: each link is a resource of its dim. */
function torusStages(placement: Placement, messages: readonly Message[]): Stage[] {
  if (messages.length === 0) return [];
  const { chip } = placement;
  const load = new Map<string, number>();
  const dims = new Set<number>();
  let hops = 0;
  for (const { from, to, bytes } of messages) {
    const path = linksBetween(placement, from, to);
    hops = Math.max(hops, path.length);
    for (const { dim, link } of path) {
      dims.add(dim);
      load.set(link, (load.get(link) ?? 0) + bytes);
    }
  }
  return [
    {
      resources: [...dims].sort().map((dim): Resource => `ici${dim}`),
      bytes: mostSent(messages),
      seconds: Math.max(...load.values()) / linkRate(chip),
      latency: hops * chip.ici.hop_s,
    },
  ];
}

/** The bytes of the chip that sends the most. */
function mostSent(messages: readonly Message[]): number {
  const sent = new Map<number, number>();
  for (const { from, bytes } of messages) sent.set(from, (sent.get(from) ?? 0) + bytes);
  return Math.max(...sent.values());
}

function podStages({ chip }: Placement, messages: readonly Message[]): Stage[] {
  if (messages.length === 0) return [];
  const bytes = mostSent(messages);
  return [
    {
      resources: ["dcn"],
      bytes,
      seconds: bytes / (dcnRatePerChip(chip) * chip.calibrated.dcn_efficiency),
      latency: chip.host.dcn_latency_s,
    },
  ];
}

/** The links of the shortest path between two chips of a pod, each with its direction. */
function linksBetween({ chip, slice }: Placement, from: number, to: number): { readonly dim: number; readonly link: string }[] {
  const perPod = chipCount(slice);
  const at = coordinates(slice.dims, from % perPod);
  const goal = coordinates(slice.dims, to % perPod);
  const pod = Math.floor(from / perPod);
  const path: { dim: number; link: string }[] = [];
  slice.dims.forEach((length, dim) => {
    const apart = (goal[dim] ?? 0) - (at[dim] ?? 0);
    const around = wrapsAt(chip, length) && Math.abs(apart) * 2 > length;
    const step = Math.sign(apart) * (around ? -1 : 1);
    while (at[dim] !== goal[dim]) {
      path.push({ dim, link: `${pod} ${at.join(",")} ${dim} ${step}` });
      at[dim] = ((at[dim] ?? 0) + step + length) % length;
    }
  });
  return path;
}

function coordinates(dims: readonly number[], chip: number): number[] {
  const result = dims.map(() => 0);
  let rest = chip;
  for (let d = dims.length - 1; d >= 0; d--) {
    const size = dims[d] ?? 1;
    result[d] = rest % size;
    rest = Math.floor(rest / size);
  }
  return result;
}
