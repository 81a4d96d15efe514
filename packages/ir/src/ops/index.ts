import type { OpName } from "../attrs.js";
import type { OpDef, OpTable } from "../op.js";
import { collectiveOps } from "./collectives.js";
import { contractionOps } from "./contraction.js";
import { dynamicOps } from "./dynamic.js";
import { elementwiseOps } from "./elementwise.js";
import { shapeOps } from "./shape.js";
import { structureOps } from "./structure.js";

/** Every op, by name. */
export const ops: OpTable = { ...structureOps, ...elementwiseOps, ...shapeOps, ...dynamicOps, ...contractionOps, ...collectiveOps };

/** The definition behind a name that came from a value: attributes and definition belong together by construction. */
export const opDef = <N extends OpName>(name: N): OpDef<N> => ops[name] as unknown as OpDef<N>;

/** Whether the op needs no operand, so that every chip can make its own part of the result. A parameter is given, not made. */
export const makesOwnPart = (name: OpName): boolean => ops[name].arity === 0 && ops[name].evaluate !== null;

export { collectiveNames } from "./collectives.js";
export { dotLayout } from "./contraction.js";
export {
  type BinaryName,
  type ElementwiseName,
  type Interval,
  type UnaryName,
  anywhere,
  binaryNames,
  binaryOps,
  elementwiseNames,
  unaryNames,
  unaryOps,
} from "./elementwise.js";
export { reshapeFactors } from "./shape.js";
