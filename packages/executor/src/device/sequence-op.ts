import type { SequenceFunctions } from "@lapidary/native";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** A sequence for `LapidarySequence`, as `sequence/encode.ts` writes it. Counts are of f32, i32 and pred. */
export interface SequenceCode {
  readonly code: Int32Array;
  readonly inputCounts: readonly number[];
  readonly outputCounts: readonly number[];
}

/** @param inPlace whether results take the memory of the operands that they replace */
export type BoundSequence = (inputs: readonly DeviceTensor[], inPlace: boolean) => DeviceTensor[];

export class SequenceOp {
  readonly #node: NodeBackend;
  readonly #functions: SequenceFunctions;
  #calls = 0;

  constructor(node: NodeBackend, functions: SequenceFunctions) {
    this.#node = node;
    this.#functions = functions;
  }

  get calls(): number {
    return this.#calls;
  }

  bind({ code, inputCounts, outputCounts }: SequenceCode): BoundSequence {
    const sequence = this.#functions.registerSequence(code);
    const node = this.#node;
    const [NF = 0, NI = 0, NB = 0] = inputCounts;
    const [OF = 0, OI = 0, OB = 0] = outputCounts;
    const [copying, inPlace] = [false, true].map((in_place) =>
      kernelAttributes(node.binding, "LapidarySequence", { NF, NI, NB, OF, OI, OB, sequence, in_place }),
    );
    return (inputs, isInPlace) => {
      this.#calls++;
      return node.binding
        .executeOp("LapidarySequence", (isInPlace ? inPlace : copying) ?? [], node.getInputTensorIds(inputs), OF + OI + OB)
        .map((metadata) => node.createOutputTensor(metadata));
    };
  }
}
