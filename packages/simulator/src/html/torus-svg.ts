import { atomOf, chipCoordinates } from "@lapidary/topology";
import { wrapsAt } from "../chip/chip-spec.js";
import type { Simulation } from "../simulate.js";
import { label, px, rect, svg } from "./svg.js";

const cell = 22;
const gap = 6;
const margin = 64;

/**
 * A drawing of the chips of one pod and their links. A cell is a chip, shaded by its coordinate on the first mesh axis inside a
 * pod. The width of a link is the share of the step in which it moves data. A dim that is a ring has stubs at both ends. A torus
 * of three dims is drawn by its last two.
 */
export function torusSvg(simulation: Simulation): string {
  const { machine, placement } = simulation;
  const dims = machine.torus.dims;
  const [rows, columns] = dims.length === 1 ? [1, dims[0] ?? 1] : [dims.at(-2) ?? 1, dims.at(-1) ?? 1];
  const [rowDim, columnDim] = [dims.length - 2, dims.length - 1];
  const [down, across] = [linkUse(simulation, rowDim), linkUse(simulation, columnDim)];
  const at = (i: number): number => margin + i * (cell + gap);
  const parts: string[] = [];

  const link = (x1: number, y1: number, x2: number, y2: number, use: number, dim: number): string =>
    `<line class="link d${dim}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke-width="${px(1 + 5 * use)}"><title>links of dim ${dim} move data for ${(100 * use).toFixed(0)} % of the step</title></line>`;
  const wrapsDown = rowDim >= 0 && wrapsAt(machine.chip, rows);
  const wrapsAcross = wrapsAt(machine.chip, columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const [x, y] = [at(c) + cell / 2, at(r) + cell / 2];
      if (c + 1 < columns) parts.push(link(x + cell / 2, y, x + cell / 2 + gap, y, across, columnDim));
      if (r + 1 < rows) parts.push(link(x, y + cell / 2, x, y + cell / 2 + gap, down, rowDim));
      if (wrapsAcross && c === 0) parts.push(link(x - cell / 2 - gap, y, x - cell / 2, y, across, columnDim));
      if (wrapsAcross && c === columns - 1) parts.push(link(x + cell / 2, y, x + cell / 2 + gap, y, across, columnDim));
      if (wrapsDown && r === 0) parts.push(link(x, y - cell / 2 - gap, x, y - cell / 2, down, rowDim));
      if (wrapsDown && r === rows - 1) parts.push(link(x, y + cell / 2, x, y + cell / 2 + gap, down, rowDim));
    }
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const coordinates = dims.length === 1 ? [c] : [...dims.slice(0, -2).map(() => 0), r, c];
      const chip = coordinates.reduce((n, i, d) => n * (dims[d] ?? 1) + i, 0);
      const coordinatesOnMesh = meshCoordinates(simulation, chip);
      const first = coordinatesOnMesh.find(({ size }) => size > 1);
      const shade = first === undefined ? 0 : Math.floor((8 * first.index) / first.size);
      parts.push(
        rect(
          { x: at(c), y: at(r), width: cell, height: cell },
          `chip s${shade}`,
          `chip (${chipCoordinates(machine.torus, chip).join(", ")}): ${coordinatesOnMesh.map(({ axis, index }) => `${axis} ${index}`).join(", ")}`,
        ),
      );
    }
  parts.push(
    label(margin, margin - 30, `${axesOn(placement, columnDim)} →`),
    label(margin - 14, margin + 14, rowDim < 0 ? "" : `${axesOn(placement, rowDim)} ↓`, "label", "end"),
  );
  const [width, height] = [at(columns) + margin / 2, at(rows) + margin / 2];
  return svg(width, height, `torus of ${dims.join("×")} chips`, parts);
}

/** Share of the step in which the links of a dim are in use. */
function linkUse({ timeline }: Simulation, dim: number): number {
  const busy = timeline.transfers
    .flatMap(({ stages }) => stages.filter(({ stage }) => stage.resources.includes(`ici${dim}`)).map(({ from, to }) => [from, to] as const))
    .sort((a, b) => a[0] - b[0]);
  let [sum, until] = [0, 0];
  for (const [from, to] of busy) {
    sum += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return timeline.seconds === 0 ? 0 : sum / timeline.seconds;
}

/** Coordinates of a chip of the first pod on the mesh axes that are inside pods. */
function meshCoordinates({ placement }: Simulation, chip: number): { axis: string; index: number; size: number }[] {
  const { mesh, slice } = placement;
  const perPod = slice.dims.reduce((a, b) => a * b, 1);
  return mesh.axes.flatMap(({ name }) => {
    const atoms = mesh.atoms.filter((atom) => atom.axis === name && atom.stride < perPod);
    if (atoms.length === 0) return [];
    return [
      {
        axis: name,
        index: atoms.reduce((index, atom) => index * atom.size + (Math.floor(chip / atom.stride) % atom.size), 0),
        size: atoms.reduce((n, atom) => n * atom.size, 1),
      },
    ];
  });
}

/** Mesh axes along a dim of the torus. */
function axesOn({ mesh, slice }: Simulation["placement"], dim: number): string {
  const below = slice.dims.slice(dim + 1).reduce((a, b) => a * b, 1);
  const length = slice.dims[dim] ?? 1;
  const names = mesh.atoms
    .filter(({ id }) => atomOf(mesh, id).stride >= below && atomOf(mesh, id).stride < below * length)
    .map(({ axis }) => axis);
  return [...new Set(names)].join("+") || "-";
}
