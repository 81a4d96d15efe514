import { type RaggedRun, raggedRuns, sizeOf } from "@lapidary/ir";
import type { Bound } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { roundToBf16 } from "./bf16.js";
import { type Kernel, type KernelContext, type KernelTable, operand } from "./kernel.js";

/**
 * Matmuls of groups of rows. The sizes are read first. Then the rows of each matrix, from all leading indices of the block, are one matmul: the number of
 * calls depends on the number of matrices, not on the number of chips.
 *
 *     rows      a a b ·   a b b b   c · · ·        matmuls   a: rows 0 1 4 · Wa    b: rows 2 5 6 7 · Wb    c: row 8 · Wc
 */

/** The rows of a matrix. */
interface Group {
  readonly matrix: number;
  readonly rows: number;
}

/** The rows that have a group, ordered by their matrix. */
interface SortedRows {
  /** Row numbers, those of equal matrix together. */
  readonly order: Int32Array;
  /** The matrices that have rows, in the order of the rows. */
  readonly groups: readonly Group[];
}

function sortRows(runs: readonly RaggedRun[], matrices: number): SortedRows {
  const byMatrix = Array.from({ length: matrices }, (): RaggedRun[] => []);
  for (const run of runs) byMatrix[run.matrix]?.push(run);
  const count = (own: readonly RaggedRun[]): number => own.reduce((n, { from, to }) => n + to - from, 0);
  const order = new Int32Array(count(runs));
  let at = 0;
  for (const { from, to } of byMatrix.flat()) for (let row = from; row < to; row++) order[at++] = row;
  const groups = byMatrix.flatMap((own, matrix) => (own.length === 0 ? [] : [{ matrix, rows: count(own) }]));
  return { order, groups };
}

type RaggedContext = KernelContext<"ragged_dot"> | KernelContext<"ragged_contract">;

/** Calls `compute` with operands as lists of rows and of matrices, in temporary memory. Operands are rounded if numerics round them. */
function bindRagged(
  { device, attrs: { shared }, inputs, output, numerics }: RaggedContext,
  matrices: number,
  compute: (rows: SortedRows, operands: readonly [DeviceTensor, DeviceTensor]) => DeviceTensor,
): Bound {
  const { tf } = device;
  const rows = inputs[0]?.dims.at(-2) ?? 0;
  const dims = inputs[2]?.dims ?? [];
  const round = (x: DeviceTensor): DeviceTensor => (numerics === "mxu" && !device.matmulRoundsToBf16 ? roundToBf16(device, x.clone()) : x);
  return (operands) => {
    const sizes = device.download(operand(operands, 2));
    const sorted = sortRows(raggedRuns({ dims, data: sizes }, rows, shared), matrices);
    return tf.tidy(() => {
      if (sorted.order.length === 0) return tf.zeros([...output.dims]);
      const flat = (i: number): DeviceTensor => {
        const x = operand(operands, i);
        return round(tf.reshape(x, [-1, ...x.shape.slice(-1)]));
      };
      return tf.reshape(compute(sorted, [flat(0), flat(1)]), [...output.dims]);
    });
  };
}

/** The parts of a list that groups have, one after the other. */
function partsOf(tf: RaggedContext["device"]["tf"], list: DeviceTensor, groups: readonly Group[]): DeviceTensor[] {
  let at = 0;
  return groups.map(({ rows }) => {
    at += rows;
    return tf.slice(list, [at - rows, 0], [rows, -1]);
  });
}

const raggedDot: Kernel<"ragged_dot"> = {
  tfjs: (context) => {
    const { device, attrs, inputs, output } = context;
    const { tf } = device;
    const dims = inputs[1]?.dims ?? [];
    const matrices = sizeOf(dims.slice(0, -2));
    const [height = 0] = dims.slice(-2);
    const all = sizeOf(output.dims.slice(0, -1));
    return bindRagged(context, matrices, ({ order, groups }, [x, w]) => {
      const parts = partsOf(tf, tf.gather(x, tf.tensor1d(order, "int32")), groups);
      const products = groups.map(({ matrix }, i) => {
        device.countCall();
        return tf.matMul(parts[i] as DeviceTensor, tf.slice(w, [matrix * height, 0], [height, -1]), false, !attrs.transposed);
      });
      // Row 0 of the list is that of rows without a group.
      const place = new Int32Array(all);
      order.forEach((row, i) => {
        place[row] = i + 1;
      });
      const list = tf.concat([tf.zeros([1, output.dims.at(-1) ?? 0]), ...products], 0);
      return tf.gather(list, tf.tensor1d(place, "int32"));
    });
  },
};

const raggedContract: Kernel<"ragged_contract"> = {
  tfjs: (context) => {
    const { device, output } = context;
    const { tf } = device;
    const matrices = sizeOf(output.dims.slice(0, -2));
    const [height = 0, width = 0] = output.dims.slice(-2);
    return bindRagged(context, matrices, ({ order, groups }, [x, y]) => {
      const ids = tf.tensor1d(order, "int32");
      const [ofX, ofY] = [x, y].map((list) => partsOf(tf, tf.gather(list, ids), groups)) as [DeviceTensor[], DeviceTensor[]];
      const products = new Map(
        groups.map(({ matrix }, i) => {
          device.countCall();
          return [matrix, tf.matMul(ofY[i] as DeviceTensor, ofX[i] as DeviceTensor, true)];
        }),
      );
      const none = tf.zeros([height, width]);
      return tf.stack(Array.from({ length: matrices }, (_, matrix) => products.get(matrix) ?? none));
    });
  },
};

export const raggedKernels: { readonly [N in "ragged_dot" | "ragged_contract"]: KernelTable[N] } = {
  ragged_dot: raggedDot,
  ragged_contract: raggedContract,
};
