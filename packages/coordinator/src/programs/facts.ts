import { bytesPerChip, type Program } from "@lapidary/compiler";
import { bytesPerElement, type Graph, localDims, sizeOf, type Value, type ValueRole } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { CollectiveRow } from "../api.js";

/** What a train step tells of itself, without being run. */
export interface ProgramFacts {
  /** Weights of the model. */
  readonly parameters: number;
  /** Bytes that one chip holds, and those of the gradients that it holds when all are there. */
  readonly bytes_per_chip: { readonly params: number; readonly optimizer: number; readonly gradients: number };
  readonly collectives: readonly CollectiveRow[];
}

export function programFacts(program: Program): ProgramFacts {
  const ofRole = (role: ValueRole): Value[] => program.global.values.filter((value) => value.role === role);
  const states = (role: ValueRole): Value[] => ofRole(role).filter((value) => value.op === "parameter");
  const bytes = (values: readonly Value[]): number => values.reduce((sum, value) => sum + localBytes(program, value), 0);
  return {
    parameters: states("param").reduce((sum, value) => sum + sizeOf(value.type.dims), 0),
    bytes_per_chip: { params: bytes(states("param")), optimizer: bytes(states("optimizer")), gradients: bytes(ofRole("gradient")) },
    collectives: collectivesOf(program.chip),
  };
}

/** Bytes of one chip's part of a whole value. */
function localBytes({ mesh }: Program, value: Value): number {
  return sizeOf(localDims(mesh, value.type.dims, must(value.sharding, "sharding"))) * bytesPerElement[value.type.dtype];
}

/** The collectives of a per-chip program by op and axes, most bytes first. */
export function collectivesOf(chip: Graph): CollectiveRow[] {
  const groups = new Map<string, { op: string; axis: string; count: number; bytes: number; reasons: Map<string, number> }>();
  for (const value of chip.values) {
    switch (value.op) {
      case "all_gather":
      case "reduce_scatter":
      case "all_reduce":
      case "all_to_all": {
        const axis = value.attrs.axes.join(",");
        const group = groups.get(`${value.op} ${axis}`) ?? { op: value.op, axis, count: 0, bytes: 0, reasons: new Map<string, number>() };
        const moved = bytesPerChip(value, must(chip.values[must(value.inputs[0], "operand")], "operand"));
        const why = value.cause ?? "";
        groups.set(`${value.op} ${axis}`, group);
        group.count++;
        group.bytes += moved;
        group.reasons.set(why, (group.reasons.get(why) ?? 0) + moved);
        break;
      }
      default:
    }
  }
  return [...groups.values()]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ op, axis, count, bytes, reasons }) => ({ op, axis, count, bytes_per_chip: bytes, why: [...reasons].reduce((a, b) => (b[1] > a[1] ? b : a))[0] }));
}
