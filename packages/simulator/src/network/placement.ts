import { LapidaryError } from "@lapidary/std";
import { type Atom, type AtomId, type Mesh, type Torus, atomOf, chipCount, meshSize, printMesh, printTorus } from "@lapidary/topology";
import { type ChipSpec, linkRate, wrapsAt } from "../chip/chip-spec.js";

/** The placement of a mesh: row-major over the chips of a slice, with the first axes over pods. */
export interface Placement {
  readonly mesh: Mesh;
  readonly chip: ChipSpec;
  /** Of each pod. */
  readonly slice: Torus;
  readonly pods: number;
}

/** The members of a group of chips along one dim of the torus. */
interface TorusSpan {
  readonly dim: number;
  /** Members of the group along the dim. */
  readonly size: number;
  /** Number of links from one member to the next, and of groups that share each link. */
  readonly stride: number;
  readonly ring: boolean;
  /**
   * Bytes per second that each member can send to the others: in both directions of a ring, or in one direction of a line, because every
   * link of a line transfers all data of one side.
   */
  readonly rate: number;
  /** Hops until the last member has the data of all members. */
  readonly hops: number;
}

export interface GroupSpan {
  readonly pods: number;
  readonly torus: readonly TorusSpan[];
  /** Members in a pod. */
  readonly chips: number;
}

/** @throws LapidaryError if the mesh does not have the number of chips of the slice, or the slice has more dims than the chip's torus */
export function checkPlacement({ mesh, slice, pods, chip }: Placement): void {
  if (meshSize(mesh) !== chipCount(slice) * pods)
    throw new LapidaryError({
      code: "LAP_SIMULATOR_PLACE",
      message: `the mesh ${printMesh(mesh)} has ${meshSize(mesh)} chips, ${pods} × ${printTorus(slice)} has ${chipCount(slice) * pods}`,
      location: "mesh",
      remedy: "simulate the slice and the number of pods that the program was compiled for",
    });
  if (slice.dims.length > chip.ici.dims)
    throw new LapidaryError({
      code: "LAP_SIMULATOR_PLACE",
      message: `a slice of ${printTorus(slice)} has ${slice.dims.length} dims, the torus of ${chip.name} ${chip.ici.dims}`,
      location: "slice",
      remedy: "choose a slice of the chip's torus, or another chip",
    });
}

/** The positions in the network of chips that differ along `atoms`. */
export function spanOf(placement: Placement, atoms: readonly AtomId[]): GroupSpan {
  const { mesh, slice } = placement;
  const perPod = chipCount(slice);
  let pods = 1;
  const onDim: number[][] = slice.dims.map(() => [0]);
  for (const id of atoms) {
    const atom = atomOf(mesh, id);
    if (atom.stride >= perPod) pods *= atom.size;
    else spread(atom, slice, onDim);
  }
  const torus = onDim.flatMap((places, dim) => (places.length > 1 ? [torusSpan(placement, dim, places)] : []));
  return { pods, torus, chips: torus.reduce((n, { size }) => n * size, 1) };
}

/** Adds an atom to the positions of a group on each dim. An atom across two dims, which odd slices have, is added to the minor one. */
function spread(atom: Atom, slice: Torus, onDim: number[][]): void {
  let dim = slice.dims.length - 1;
  let below = 1;
  while (dim > 0 && atom.stride >= below * (slice.dims[dim] ?? 1)) below *= slice.dims[dim--] ?? 1;
  const step = atom.stride / below;
  onDim[dim] = (onDim[dim] ?? [0]).flatMap((place) => Array.from({ length: atom.size }, (_, i) => place + i * step));
}

function torusSpan({ chip, slice }: Placement, dim: number, unsorted: readonly number[]): TorusSpan {
  const places = [...unsorted].sort((a, b) => a - b);
  const length = slice.dims[dim] ?? 1;
  const size = places.length;
  const stride = Math.max(1, Math.ceil(((places.at(-1) ?? 0) - (places[0] ?? 0)) / (size - 1)));
  const ring = wrapsAt(chip, length) && stride * size >= length;
  const rate = ((ring ? 2 : 1) * linkRate(chip)) / stride;
  return { dim, size, stride, ring, rate, hops: ring ? (size * stride) / 2 : (size - 1) * stride };
}

/** The number of links on the shortest path between two chips of a slice, and the number of dims that it uses. */
export function shortestPath(
  { chip, slice }: Pick<Placement, "chip" | "slice">,
  from: readonly number[],
  to: readonly number[],
): { hops: number; dims: number } {
  let [hops, dims] = [0, 0];
  slice.dims.forEach((length, d) => {
    const apart = Math.abs((from[d] ?? 0) - (to[d] ?? 0));
    if (apart === 0) return;
    dims++;
    hops += wrapsAt(chip, length) ? Math.min(apart, length - apart) : apart;
  });
  return { hops, dims };
}

/** Seconds to send `bytes` from one chip to another: over one link per dim, plus the latency of all hops. */
export function sendSeconds(
  placement: Pick<Placement, "chip" | "slice">,
  bytes: number,
  from: readonly number[],
  to: readonly number[],
): number {
  const { hops, dims } = shortestPath(placement, from, to);
  return dims === 0 ? 0 : bytes / (linkRate(placement.chip) * dims) + hops * placement.chip.ici.hop_s;
}
