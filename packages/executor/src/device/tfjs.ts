import { createRequire } from "node:module";
import { LapidaryError } from "@lapidary/std";
import type * as Tfjs from "@tensorflow/tfjs-core";

/** The public interface of tfjs: kernels of level 1, on any backend. */
export type TfjsCore = typeof Tfjs;
/** An array that a tfjs backend holds. */
export type DeviceTensor = Tfjs.Tensor;

/** An attribute of a TensorFlow op in the form of the node backend. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number | string | readonly number[];
}

/** The description of a tensor that the native binding created. */
interface TensorMetadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

/** The part of tfjs-node's backend that kernels of level 2 use. It calls any TensorFlow op by name. */
export interface NodeBackend {
  executeSingleOutput(name: string, attributes: readonly OpAttribute[], inputs: readonly DeviceTensor[]): DeviceTensor;
  createOutputTensor(metadata: TensorMetadata): DeviceTensor;
  getInputTensorIds(inputs: readonly DeviceTensor[]): number[];
  readonly binding: {
    executeOp(name: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): TensorMetadata[];
    deleteTensor(id: number): void;
    readonly TF_ATTR_TYPE: number;
    readonly TF_ATTR_BOOL: number;
    readonly TF_ATTR_INT: number;
    readonly TF_ATTR_STRING: number;
    readonly TF_FLOAT: number;
    readonly TF_INT32: number;
    readonly TF_BOOL: number;
  };
}

export type BackendName = "tensorflow" | "wasm";

export interface LoadedTfjs {
  readonly tf: TfjsCore;
  readonly name: BackendName;
  /** Only with TensorFlow. */
  readonly node: NodeBackend | undefined;
  /** The reason why TensorFlow is not used, if it was requested. */
  readonly fallbackReason: string | undefined;
}

/**
 * Loads tfjs into this process, with TensorFlow's kernels. If they cannot be loaded or are not requested, it loads the WebAssembly backend. Before
 * this call nothing of tfjs is loaded.
 *
 * @throws LAP_WORKER_TFJS if neither loads
 */
export async function loadTfjs(wanted: BackendName = "tensorflow"): Promise<LoadedTfjs> {
  const require = createRequire(import.meta.url);
  let fallbackReason: string | undefined;
  if (wanted === "tensorflow") {
    try {
      const tf = require("@tensorflow/tfjs-node-gpu") as TfjsCore;
      // The process may have chosen another backend before.
      await tf.setBackend("tensorflow");
      return { tf, name: "tensorflow", node: tf.backend() as unknown as NodeBackend, fallbackReason: undefined };
    } catch (error) {
      fallbackReason = error instanceof Error ? (error.message.split("\n")[0] ?? error.message) : String(error);
    }
  }
  try {
    const tf = require("@tensorflow/tfjs-core") as TfjsCore;
    require("@tensorflow/tfjs-backend-wasm");
    await tf.setBackend("wasm");
    await tf.ready();
    return { tf, name: "wasm", node: undefined, fallbackReason };
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_WORKER_TFJS",
      message: `no backend of tfjs can be loaded${fallbackReason === undefined ? "" : ` (TensorFlow: ${fallbackReason})`}`,
      location: "tfjs",
      cause,
    });
  }
}
