import { type CollectiveName, shiftOffsets, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { parseAtoms, replicaGroups } from "@lapidary/topology";
import { combiner } from "./contraction.js";
import { intList, signature } from "./mlir.js";
import type { OpPrinters, PrintContext } from "./op-printer.js";
import { joined, type Piece, rowsOf } from "./pieces.js";

/**
 * Collectives of a per-chip program. Device numbers are the chip numbers of the mesh. A group consists of the chips that differ only
 * along the axes of the op, in the order of their coordinates.
 */
export const collectivePrinters: OpPrinters<CollectiveName> = {
  all_gather: (context) => collective(context, `all_gather_dim = ${context.attrs.dimension} : i64`, ", use_global_device_ids"),
  reduce_scatter: (context) =>
    collective(
      context,
      `scatter_dimension = ${context.attrs.dimension} : i64`,
      ", use_global_device_ids",
      combiner(context.attrs.kind, context.value.type.dtype),
    ),
  all_reduce: (context) => {
    const { writer, attrs, value, names } = context;
    const region = combiner(attrs.kind, value.type.dtype);
    if (writer.options.splitAllReduce !== true) return collective(context, "", ", use_global_device_ids", region);
    const [last = "", ...before] = [...attrs.axes].reverse();
    const operand = before.reduceRight(
      (name, axis) => writer.temporary(collective({ ...context, names: [name] }, "", ", use_global_device_ids", region, [axis])),
      names[0] ?? "",
    );
    return collective({ ...context, names: [operand] }, "", ", use_global_device_ids", region, [last]);
  },
  all_to_all: (context) => {
    const { splitDimension, concatDimension, size } = context.attrs;
    return collective(
      context,
      `split_dimension = ${splitDimension} : i64, concat_dimension = ${concatDimension} : i64, split_count = ${size} : i64`,
      "",
    );
  },
  // The rows of a chip come from one chip or from two neighbours. Chips that nothing is sent to get zeros.
  collective_permute: ({ writer, names, inputs, value, attrs }) => {
    const { dimension, size, by, wrap } = attrs;
    const { type } = ensure(inputs[0], "operand");
    const rows = type.dims[dimension] ?? 1;
    const groups = replicaGroups(writer.mesh, parseAtoms(writer.mesh, attrs.axes));
    const taken = shiftOffsets(rows, by).map(({ offset, start, limit }): Piece => {
      const piece = rowsOf(writer, ensure(names[0], "operand"), type, { dimension, start, limit });
      if (wrap ? offset % size === 0 : offset === 0) return piece;
      const pairs = groups.flatMap((group) =>
        group.flatMap((target, i) => {
          const source = group[wrap ? (((i + offset) % size) + size) % size : i + offset];
          return source === undefined ? [] : [`[${source},${target}]`];
        }),
      );
      const attributes = `channel_handle = ${writer.channel()}, source_target_pairs = ${writer.pairs(pairs)}`;
      const text = `"stablehlo.collective_permute"(${piece.name}) <{${attributes}}> : ${signature([piece.type], piece.type)}`;
      return { name: writer.temporary(text), type: piece.type };
    });
    return joined(taken, dimension, value.type);
  },
  shard_slice: ({ writer, names, inputs, value, attrs }) => {
    const { dims } = value.type;
    const zero = writer.scalar(0, "i32");
    const starts = dims.map((size, d) => (d === attrs.dimension ? writer.shardOffset(parseAtoms(writer.mesh, attrs.axes), size) : zero));
    const index = tensorType("i32", []);
    return `stablehlo.dynamic_slice ${names[0]}, ${starts.join(", ")}, sizes = ${intList(dims)} : ${signature([ensure(inputs[0], "operand").type, ...dims.map(() => index)], value.type)}`;
  },
};

type Communicating = Exclude<CollectiveName, "shard_slice" | "collective_permute">;

function collective<N extends Communicating>(
  { writer, value, names, inputs }: PrintContext<N>,
  attributes: string,
  flags: string,
  region = "",
  axes = value.attrs.axes,
): string {
  const groups = `replica_groups = ${writer.replicaGroups(parseAtoms(writer.mesh, axes))}`;
  const all = [attributes, `channel_handle = ${writer.channel()}`, groups].filter((text) => text !== "").join(", ");
  return `"stablehlo.${value.op}"(${names[0]}) <{${all}${flags}}>${region === "" ? "" : ` ${region}`} : ${signature([ensure(inputs[0], "operand").type], value.type)}`;
}
