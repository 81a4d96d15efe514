import type { OpName } from "@lapidary/ir";
import { collectivePrinters } from "./collectives.js";
import { contractionPrinters } from "./contraction.js";
import { elementwisePrinters } from "./elementwise.js";
import type { OpPrinter, OpPrinters } from "./op-printer.js";
import { shapePrinters } from "./shape.js";
import { structurePrinters } from "./structure.js";

/** Every op as StableHLO. */
export const stableHloPrinters: OpPrinters = {
  ...structurePrinters,
  ...elementwisePrinters,
  ...shapePrinters,
  ...contractionPrinters,
  ...collectivePrinters,
};

/** The printer behind a name that came from a value: attributes and printer belong together by construction. */
export const printerOf = <N extends OpName>(name: N): OpPrinter<N> => stableHloPrinters[name] as unknown as OpPrinter<N>;
