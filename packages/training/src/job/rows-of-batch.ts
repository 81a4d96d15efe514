import { LapidaryError, counted } from "@lapidary/std";
import { type Mesh, meshSize } from "@lapidary/topology";
import type { JobFile } from "./job-schema.js";
import type { ConfigSource } from "./config-source.js";

/** The chips that share the rows of a batch. */
export interface BatchChips {
  readonly chips: number;
  readonly mesh: Mesh;
  /** Mesh axes that split the batch. */
  readonly axes: readonly string[];
}

const maxRows = 2 ** 31 - 1;

/** `0.1 * 30` is 3.0000000000000004: a fraction this small is a rounding error. */
const rounding = 1e-9;

/**
 * Rows of a batch over all chips: `batch`, or `batch_per_chip` for each of them.
 *
 * @throws LapidaryError at `train.batch_per_chip` if the number of rows is not an integer, is less than one, or is not divisible by the mesh
 */
export function rowsOfBatch(train: NonNullable<JobFile["train"]>, { chips, mesh, axes }: BatchChips, source: ConfigSource): number {
  const { batch, batch_per_chip: perChip } = train;
  if (batch !== undefined || perChip === undefined) return batch ?? chips;
  const exact = perChip * chips;
  const rows = Math.round(exact);
  const parts = mesh.axes.reduce((n, { name, size }) => (axes.includes(name) ? n * size : n), 1);
  const location = source.locationOf(["train", "batch_per_chip"]);
  const remedy = `use ${nearestFractions(exact, parts, chips)}; or set train.batch, the rows of all chips`;
  if (rows < 1 || rows > maxRows || Math.abs(exact - rows) > rounding * Math.max(1, exact))
    throw new LapidaryError({
      code: "LAP_CONFIG_VALUE",
      message: `train.batch_per_chip is ${perChip}: for ${counted(chips, "chip")} the batch has ${shown(exact)} rows, ${rows > maxRows ? `more than ${maxRows}` : "not a whole number of at least 1"}`,
      location,
      remedy,
    });
  // `checkFits` reports a mesh that does not fill its slice.
  if (rows % parts !== 0 && meshSize(mesh) === chips)
    throw new LapidaryError({
      code: "LAP_MESH_INDIVISIBLE",
      message: `train.batch_per_chip is ${perChip}: for ${counted(chips, "chip")} a batch of ${rows} rows is not divisible by ${axes.join("×")} = ${parts}`,
      location,
      remedy,
    });
  return rows;
}

const shown = (rows: number): string => String(Number(rows.toPrecision(6)));

/** The fractions next to `exact / chips` whose batch the mesh divides: `0.25 (4 rows) or 0.5 (8 rows)`. */
function nearestFractions(exact: number, parts: number, chips: number): string {
  const largest = Math.floor(maxRows / parts) * parts;
  const below = Math.max(parts, Math.min(Math.floor(exact / parts) * parts, largest - parts));
  return [below, below + parts].map((n) => `${decimal(n, chips)} (${n} ${n === 1 ? "row" : "rows"})`).join(" or ");
}

/** The shortest decimal that gives these rows. */
function decimal(rows: number, chips: number): string {
  const exact = rows / chips;
  for (let digits = 1; digits < 17; digits++) {
    const text = String(Number(exact.toPrecision(digits)));
    if (Math.abs(Number(text) * chips - rows) <= (rounding / 2) * rows) return text;
  }
  return String(exact);
}
