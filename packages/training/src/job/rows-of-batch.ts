import { LapidaryError, counted } from "@lapidary/std";
import { type Mesh, meshSize } from "@lapidary/topology";
import type { JobFile } from "./job-schema.js";
import type { ConfigSource } from "./config-source.js";

/** What the rows of a batch go to. */
export interface BatchChips {
  readonly chips: number;
  readonly mesh: Mesh;
  /** Mesh axes that split the batch. */
  readonly axes: readonly string[];
}

const mostRows = 2 ** 31 - 1;

/** `0.1 * 30` is 3.0000000000000004: so much of a row is no fraction of one. */
const rounding = 1e-9;

/**
 * Rows of a batch over all chips: `batch`, or `batch_per_chip` for each of them.
 *
 * @throws LapidaryError at `train.batch_per_chip` for a fraction that gives no whole number of rows, none at all, or one that the mesh does not divide
 */
export function rowsOfBatch(train: JobFile["train"], { chips, mesh, axes }: BatchChips, source: ConfigSource): number {
  const { batch, batch_per_chip: perChip } = train;
  if (batch !== undefined || perChip === undefined) return batch ?? chips;
  const exact = perChip * chips;
  const rows = Math.round(exact);
  const parts = mesh.axes.reduce((n, { name, size }) => (axes.includes(name) ? n * size : n), 1);
  const place = source.placeOf(["train", "batch_per_chip"]);
  const remedy = `use ${nearFractions(exact, parts, chips)}; or give train.batch, the rows of all chips together`;
  if (rows < 1 || rows > mostRows || Math.abs(exact - rows) > rounding * Math.max(1, exact))
    throw new LapidaryError({
      code: "LAP_CONFIG_VALUE",
      message: `train.batch_per_chip is ${perChip}: for ${counted(chips, "chip")} that is a batch of ${shown(exact)} rows, ${rows > mostRows ? `more than ${mostRows}` : "not a whole number of at least 1"}`,
      place,
      remedy,
    });
  // A mesh that does not fill its slice is reported as such.
  if (rows % parts !== 0 && meshSize(mesh) === chips)
    throw new LapidaryError({
      code: "LAP_MESH_INDIVISIBLE",
      message: `train.batch_per_chip is ${perChip}: for ${counted(chips, "chip")} that is a batch of ${rows}, which does not divide over ${axes.join("×")} = ${parts}`,
      place,
      remedy,
    });
  return rows;
}

const shown = (rows: number): string => String(Number(rows.toPrecision(6)));

/** The fractions next to `exact / chips` that give a batch which the mesh divides: `0.25 (4 rows) or 0.5 (8 rows)`. */
function nearFractions(exact: number, parts: number, chips: number): string {
  const most = Math.floor(mostRows / parts) * parts;
  const below = Math.max(parts, Math.min(Math.floor(exact / parts) * parts, most - parts));
  return [below, below + parts].map((n) => `${decimal(n, chips)} (${n} ${n === 1 ? "row" : "rows"})`).join(" or ");
}

/** As few digits as give these rows back. */
function decimal(rows: number, chips: number): string {
  const exact = rows / chips;
  for (let digits = 1; digits < 17; digits++) {
    const text = String(Number(exact.toPrecision(digits)));
    if (Math.abs(Number(text) * chips - rows) <= (rounding / 2) * rows) return text;
  }
  return String(exact);
}
