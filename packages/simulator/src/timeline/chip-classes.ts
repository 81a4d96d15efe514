import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, chipCoordinates, meshSize, replicaGroup } from "@lapidary/topology";
import type { Placement } from "../network/placement.js";
import type { Resource } from "../network/transfer.js";
import { wrapsAt } from "../chip/chip-spec.js";

/** A fault of a chip, with the chip's number in the mesh. */
export type Fault =
  | { readonly kind: "straggler"; readonly chip: number /** Its kernels take `slowdown` times as long. */; readonly slowdown: number }
  | {
      readonly kind: "slow_link";
      readonly chip: number;
      readonly dim: number /** Share of its rate that the link keeps. */;
      readonly factor: number;
    }
  | { readonly kind: "lost_wrap"; readonly chip: number; readonly dim: number };

/** Chips with equal behaviour, of which one is simulated. */
export interface ChipClass {
  readonly id: number;
  /** Number of chips. */
  readonly count: number;
  /** The first of them. */
  readonly chip: number;
  readonly slowdown: number;
  readonly linkFactor: (resource: Resource) => number;
  /** Classes of the chips in a group along `atoms` with a chip of this class. */
  readonly groups: (atoms: readonly AtomId[]) => readonly number[];
}

/**
 * Classes of chips, by colour refinement. The first colours differ for chips with different faults. Then two chips of one class are
 * separated if their groups along the atoms of a collective contain different classes, until nothing changes. Without faults all
 * chips are one class.
 */
export function chipClasses(placement: Placement, faults: readonly Fault[], atomLists: readonly (readonly AtomId[])[]): ChipClass[] {
  const { mesh } = placement;
  const chips = meshSize(mesh);
  if (faults.length === 0) return [{ id: 0, count: chips, chip: 0, slowdown: 1, linkFactor: () => 1, groups: () => [0] }];
  const traits = Array.from({ length: chips }, (_, chip) => traitsOf(placement, faults, chip));
  const lists = [...new Map(atomLists.map((atoms) => [atoms.join(), atoms])).values()];
  let colour = renumber(traits.map((trait) => JSON.stringify(trait)));
  for (;;) {
    const next = renumber(
      colour.map((own, chip) => [own, ...lists.map((atoms) => groupColours(mesh, colour, chip, atoms).join())].join(";")),
    );
    if (Math.max(...next) === Math.max(...colour)) break;
    colour = next;
  }
  return Array.from({ length: Math.max(...colour) + 1 }, (_, id) => {
    const chip = colour.indexOf(id);
    const trait = ensure(traits[chip], "traits");
    const groups = new Map(lists.map((atoms) => [atoms.join(), [...new Set(groupColours(mesh, colour, chip, atoms))]]));
    return {
      id,
      chip,
      count: colour.filter((c) => c === id).length,
      slowdown: trait.slowdown,
      linkFactor: (resource) => trait.links[resource] ?? 1,
      groups: (atoms) => groups.get(atoms.join()) ?? [id],
    };
  });
}

const groupColours = (mesh: Mesh, colour: readonly number[], chip: number, atoms: readonly AtomId[]): number[] =>
  replicaGroup(mesh, chip, atoms)
    .map((member) => colour[member] ?? 0)
    .sort((a, b) => a - b);

function renumber(keys: readonly string[]): number[] {
  const numbers = new Map<string, number>();
  return keys.map((key) => {
    const known = numbers.get(key) ?? numbers.size;
    numbers.set(key, known);
    return known;
  });
}

interface Traits {
  readonly slowdown: number;
  readonly links: Readonly<Record<string, number>>;
}

/** The slowest link limits the rate of a ring, and a ring without its wrap-around link has half the rate. So all chips on the line have the fault. */
function traitsOf(placement: Placement, faults: readonly Fault[], chip: number): Traits {
  const perPod = placement.slice.dims.reduce((a, b) => a * b, 1);
  const pod = Math.floor(chip / perPod);
  const place = chipCoordinates(placement.slice, chip % perPod);
  let slowdown = 1;
  const links: Record<string, number> = {};
  for (const fault of faults) {
    if (fault.kind === "straggler") {
      if (fault.chip === chip) slowdown *= fault.slowdown;
      continue;
    }
    const other = chipCoordinates(placement.slice, fault.chip % perPod);
    const onLine = Math.floor(fault.chip / perPod) === pod && place.every((at, dim) => dim === fault.dim || at === other[dim]);
    const wraps = wrapsAt(placement.chip, placement.slice.dims[fault.dim] ?? 1);
    const factor = fault.kind === "slow_link" ? fault.factor : wraps ? 0.5 : 1;
    if (onLine) links[`ici${fault.dim}`] = (links[`ici${fault.dim}`] ?? 1) * factor;
  }
  return { slowdown, links };
}
