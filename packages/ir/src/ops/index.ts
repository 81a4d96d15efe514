import type { OpName } from "../attrs.js";
import type { OpDef, OpTable } from "../op.js";
import { collectiveOps } from "./collectives.js";
import { constrainOps } from "./constrain.js";
import { contractionOps } from "./contraction.js";
import { cumsumOps } from "./cumsum.js";
import { dynamicOps } from "./dynamic.js";
import { elementwiseOps } from "./elementwise.js";
import { pickOps } from "./pick.js";
import { raggedOps } from "./ragged.js";
import { rowOps } from "./rows.js";
import { shapeOps } from "./shape.js";
import { shiftOps } from "./shift.js";
import { structureOps } from "./structure.js";

/** Every op, by name. */
export const ops: OpTable = {
  ...structureOps,
  ...elementwiseOps,
  ...shapeOps,
  ...dynamicOps,
  ...constrainOps,
  ...cumsumOps,
  ...shiftOps,
  ...pickOps,
  ...contractionOps,
  ...raggedOps,
  ...rowOps,
  ...collectiveOps,
};

/** The definition of an op. Its type matches the attributes of a value with this op. */
export const opDef = <N extends OpName>(name: N): OpDef<N> => ops[name];

/** Whether the op has no operands, so that every chip can compute its own part of the result. A parameter is given, not computed. */
export const makesOwnPart = (name: OpName): boolean => ops[name].arity === 0 && ops[name].evaluate !== null;

export { collectiveNames } from "./collectives.js";
export { dotLayout } from "./contraction.js";
export { type ElementwiseName, binaryNames, comparisons, elementwiseNames, unaryNames } from "./elementwise.js";
export { type BinaryName, binaryOps } from "./binary.js";
export { type Interval, anywhere } from "./formula.js";
export { type UnaryName, unaryOps } from "./unary.js";
export { pickedDim } from "./pick.js";
export { type RaggedRun, raggedRuns } from "./ragged.js";
export { reshapeFactors } from "./shape.js";
export { normalElement } from "./structure.js";
export { type ShiftPiece, shiftOffsets, shiftPieces } from "./shift.js";
