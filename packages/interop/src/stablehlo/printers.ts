import type { OpName } from "@lapidary/ir";
import { collectivePrinters } from "./collectives.js";
import { contractionPrinters } from "./contraction.js";
import { cumsumPrinters } from "./cumsum.js";
import { elementwisePrinters } from "./elementwise.js";
import type { OpPrinter, OpPrinters } from "./op-printer.js";
import { raggedPrinters } from "./ragged.js";
import { rowPrinters } from "./rows.js";
import { shapePrinters } from "./shape.js";
import { shiftPrinters } from "./shift.js";
import { structurePrinters } from "./structure.js";

/** The StableHLO printer of every op. */
export const stableHloPrinters: OpPrinters = {
  ...structurePrinters,
  ...elementwisePrinters,
  ...shapePrinters,
  ...cumsumPrinters,
  ...shiftPrinters,
  ...contractionPrinters,
  ...raggedPrinters,
  ...rowPrinters,
  ...collectivePrinters,
};

/** The printer of an op. Its type matches the attributes of a value with this op. */
export const printerOf = <N extends OpName>(name: N): OpPrinter<N> => stableHloPrinters[name];
