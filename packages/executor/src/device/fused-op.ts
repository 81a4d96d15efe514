import type { FusedFunctions, FusedProgramId } from "@lapidary/native";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** A program for `LapidaryFused`, as `fusion/encode.ts` writes it. */
export interface FusedProgram {
  readonly code: Int32Array;
  readonly constants: Float32Array;
  readonly counts: { readonly floats: number; readonly ints: number; readonly bools: number };
  readonly outputs: readonly unknown[];
}

export type BoundFused = (inputs: readonly DeviceTensor[]) => DeviceTensor[];

export class FusedOp {
  readonly #node: NodeBackend;
  readonly #functions: FusedFunctions;
  /** By text. Layers repeat, so many programs are equal. */
  readonly #known = new Map<string, FusedProgramId>();
  #calls = 0;

  constructor(node: NodeBackend, functions: FusedFunctions) {
    this.#node = node;
    this.#functions = functions;
  }

  get calls(): number {
    return this.#calls;
  }

  /** The number of a program. */
  register({ code, constants }: FusedProgram): FusedProgramId {
    const key = `${code.join()} ${constants.join()}`;
    const id = this.#known.get(key) ?? this.#functions.registerProgram(code, constants);
    this.#known.set(key, id);
    return id;
  }

  bind(program: FusedProgram): BoundFused {
    const id = this.register(program);
    const { counts, outputs } = program;
    const node = this.#node;
    const attributes = kernelAttributes(node.binding, "LapidaryFused", {
      NF: counts.floats,
      NI: counts.ints,
      NB: counts.bools,
      NO: outputs.length,
      program: id,
    });
    return (inputs) => {
      this.#calls++;
      return node.binding
        .executeOp("LapidaryFused", attributes, node.getInputTensorIds(inputs), outputs.length)
        .map((metadata) => node.createOutputTensor(metadata));
    };
  }
}
