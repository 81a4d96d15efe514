import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { libraryPath } from "@lapidary/native";
import { LapidaryError } from "@lapidary/std";
import { opcodeList } from "../fusion/opcodes.js";
import type { ImageModule } from "./image-memory.js";
import type { SharedModule } from "./shared-memory.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** The native module: loading it registers its TensorFlow ops. */
export interface KernelsModule extends Partial<SharedModule>, Partial<ImageModule> {
  /** The opcodes that the module was compiled with, in the order of their numbers. */
  readonly opcodes?: string;
  register(code: Int32Array, constants: Float32Array): number;
  /** The products that this processor has kernels of ours for (`LapidaryMatMul`). */
  readonly products?: { readonly f32: boolean; readonly bf16: boolean };
}

/** A program for `LapidaryFused`, as `fusion/encode.ts` writes it. */
export interface FusedProgram {
  readonly code: Int32Array;
  readonly constants: Float32Array;
  readonly counts: { readonly floats: number; readonly ints: number; readonly bools: number };
  readonly outputs: readonly unknown[];
}

export type BoundFused = (inputs: readonly DeviceTensor[]) => DeviceTensor[];

/**
 * The module of our own kernels, or why there is none: they are an optimisation, which set-up builds where it can.
 *
 * @param path of the module; tests give others
 * @throws LAP_WORKER_OPCODES if the module was compiled for another op table: its opcodes would compute other ops
 */
export function loadKernels(path = libraryPath("kernels")): KernelsModule | string {
  if (!existsSync(path)) return "not built";
  const module = tryToLoad(path);
  if (typeof module !== "string" && module.opcodes !== opcodeList)
    throw new LapidaryError({
      code: "LAP_WORKER_OPCODES",
      message: "the compiled kernels belong to another version of the op table",
      place: path,
    });
  return module;
}

function tryToLoad(path: string): KernelsModule | string {
  try {
    return createRequire(import.meta.url)(path) as KernelsModule;
  } catch (error) {
    return error instanceof Error ? (error.message.split("\n")[0] ?? error.message) : String(error);
  }
}

export class FusedOp {
  readonly #node: NodeBackend;
  readonly #module: KernelsModule;
  /** Programs of equal text are one: layers repeat. */
  readonly #known = new Map<string, number>();
  #calls = 0;

  constructor(node: NodeBackend, module: KernelsModule) {
    this.#node = node;
    this.#module = module;
  }

  get calls(): number {
    return this.#calls;
  }

  bind({ code, constants, counts, outputs }: FusedProgram): BoundFused {
    const key = `${code.join()} ${constants.join()}`;
    const id = this.#known.get(key) ?? this.#module.register(code, constants);
    this.#known.set(key, id);
    const node = this.#node;
    const int = (name: string, value: number): { name: string; type: number; value: number } => ({
      name,
      type: node.binding.TF_ATTR_INT,
      value,
    });
    const attributes = [
      int("NF", counts.floats),
      int("NI", counts.ints),
      int("NB", counts.bools),
      int("NO", outputs.length),
      int("program", id),
    ];
    return (inputs) => {
      this.#calls++;
      return node.binding
        .executeOp("LapidaryFused", attributes, node.getInputTensorIds(inputs), outputs.length)
        .map((metadata) => node.createOutputTensor(metadata));
    };
  }
}
