import { LapidaryError } from "@lapidary/std";
import { type TensorType, printType } from "./types.js";

/** The operands of an op do not fit the op. */
export class ShapeError extends LapidaryError {
  constructor(op: string, problem: string, inputs: readonly TensorType[], remedy = "check the shapes where the model builds this op") {
    super({ code: "LAP_IR_SHAPE", message: `${op}(${inputs.map(printType).join(", ")}): ${problem}`, location: op, remedy });
  }
}
