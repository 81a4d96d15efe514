import { type Dtype, sizeOf } from "@lapidary/ir";
import { loadKernels } from "@lapidary/native";
import { assert } from "@lapidary/std";
import type { Numbers } from "@lapidary/protocol";
import { FusedOp } from "./fused-op.js";
import { NativeOps } from "./native-ops.js";
import { SequenceOp } from "./sequence-op.js";
import { SharedMemory } from "./shared-memory.js";
import { StagingMemory } from "./staging-memory.js";
import { type BackendName, type DeviceTensor, type LoadedTfjs, type TfjsCore, loadTfjs } from "./tfjs.js";

/**
 * A tfjs backend, with the native ops that it has and a count of kernel calls. All arrays are computed here.
 *
 *     ir dtype   f32      bf16                       i32     pred
 *     tfjs       float32  float32 (rounded values)   int32   bool
 */
export class Device {
  readonly tf: TfjsCore;
  readonly backend: BackendName;
  /** TensorFlow ops by name. Undefined without TensorFlow. */
  readonly native: NativeOps | undefined;
  /** Fused kernels (level 3). Undefined if the set-up could not build them. */
  readonly fused: FusedOp | undefined;
  /** Several kernels in one call. Undefined if the set-up could not build them. */
  readonly sequences: SequenceOp | undefined;
  /** Messages through memory that the workers of this machine share. Undefined if the system or the native kernels lack it. */
  readonly shared: SharedMemory | undefined;
  /** Shared memory into which blocks are written. Undefined if the system or the native kernels lack it. */
  readonly stagingMemory: StagingMemory | undefined;
  /** Whether a native matmul rounds its operands to bf16 when it reads them, and adds in f32. */
  readonly hasBf16Matmul: boolean;
  /** Whether the native f32 matmul is faster than TensorFlow's on this processor. Its instruction set decides, so that all workers of a machine agree. */
  readonly hasFastMatmul: boolean;
  readonly fallbackReason: string | undefined;
  /** Results of programs whose memory no other tensor shares: a later run may overwrite them if they are donated. */
  readonly exclusive = new WeakSet<DeviceTensor>();
  #level1Calls = 0;
  #matmulRounds: boolean | undefined;

  constructor(loaded: LoadedTfjs) {
    this.tf = loaded.tf;
    this.backend = loaded.name;
    const kernels = loaded.node === undefined ? undefined : loadKernels();
    const dot = typeof kernels === "object" ? kernels.dot : undefined;
    this.native = loaded.node === undefined ? undefined : new NativeOps(loaded.node, dot);
    if (loaded.node !== undefined && kernels !== undefined && typeof kernels !== "string") {
      this.fused = new FusedOp(loaded.node, kernels.fused);
      this.sequences = kernels.sequence === undefined ? undefined : new SequenceOp(loaded.node, kernels.sequence);
      this.shared = SharedMemory.of(loaded.node, kernels.exchange);
      this.stagingMemory = StagingMemory.of(loaded.node, kernels.staging);
      this.hasBf16Matmul = kernels.matmul.bf16;
      this.hasFastMatmul = kernels.matmul.f32;
    } else {
      this.hasBf16Matmul = false;
      this.hasFastMatmul = false;
    }
    this.fallbackReason = loaded.fallbackReason;
  }

  /** Kernels called so far. */
  get kernelCalls(): number {
    return this.#level1Calls + (this.native?.calls ?? 0) + (this.fused?.calls ?? 0) + (this.sequences?.calls ?? 0);
  }

  /** Kernels of level 1 call this for each call of the backend. */
  countCall(): void {
    this.#level1Calls++;
  }

  /** Puts an array on the device. `data` may be shared with it: it must not change afterwards. */
  upload(dtype: Dtype, dims: readonly number[], data: Numbers): DeviceTensor {
    assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
    const shape = [...dims];
    switch (dtype) {
      case "f32":
      case "bf16":
        return this.tf.tensor(data instanceof Float32Array ? data : Float32Array.from(data), shape, "float32");
      case "i32":
        return this.tf.tensor(data instanceof Int32Array ? data : Int32Array.from(data), shape, "int32");
      case "pred":
        return this.tf.tensor(Uint8Array.from(data), shape, "bool");
    }
  }

  /** The numbers of a tensor, in an array that the caller owns. */
  download(tensor: DeviceTensor): Numbers {
    const data = tensor.dataSync();
    if (data instanceof Uint8Array) return Int32Array.from(data);
    // A backend without memory of its own returns its data, not a copy.
    return this.native === undefined || tensor.size === 1 ? data.slice() : data;
  }

  /** Runs one matmul before the first step, because the first matmul loads half of the library. */
  warmUp(): void {
    const a = this.tf.ones([64, 64]);
    const b = this.tf.matMul(a, a);
    b.dataSync();
    this.tf.dispose([a, b]);
  }

  /**
   * Whether TensorFlow rounds the operands of f32 matmuls to bf16 (oneDNN with TF_SET_ONEDNN_FPMATH_MODE=BF16), for small and large matmuls. The test
   * multiplies numbers that bf16 cannot hold.
   */
  get matmulRoundsToBf16(): boolean {
    this.#matmulRounds ??= [4, 32, 128].every((n) => this.#roundsAt(n));
    return this.#matmulRounds;
  }

  #roundsAt(n: number): boolean {
    const fine = 1 + 2 ** -12;
    const a = this.tf.fill([n, n], fine);
    const b = this.tf.eye(n);
    const product = this.tf.matMul(a, b);
    const rounded = product.dataSync().every((x) => x === 1);
    this.tf.dispose([a, b, product]);
    return rounded;
  }
}

/** Loads tfjs. @throws LAP_WORKER_TFJS if no backend loads */
export async function openDevice(backend: BackendName = "tensorflow"): Promise<Device> {
  return new Device(await loadTfjs(backend));
}
