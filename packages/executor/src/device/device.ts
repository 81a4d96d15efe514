import { type Dtype, sizeOf } from "@lapidary/ir";
import { loadKernels } from "@lapidary/native";
import { assert } from "@lapidary/std";
import type { Numbers } from "@lapidary/protocol";
import { FusedOp } from "./fused-op.js";
import { ImageMemory } from "./image-memory.js";
import { NativeOps } from "./native-ops.js";
import { SharedMemory } from "./shared-memory.js";
import { type BackendName, type DeviceTensor, type LoadedTfjs, type TfjsCore, loadTfjs } from "./tfjs.js";

/**
 * The one place where arrays are computed: a tfjs backend, counted.
 *
 *     ir dtype   f32      bf16                       i32     pred
 *     tfjs       float32  float32 (rounded values)   int32   bool
 */
export class Device {
  readonly tf: TfjsCore;
  readonly backend: BackendName;
  /** TensorFlow ops by name, where there is TensorFlow. */
  readonly native: NativeOps | undefined;
  /** Kernels of level 3, where set-up could build them. */
  readonly fused: FusedOp | undefined;
  /** Memory between the workers of this machine, where the system and our kernels offer it. */
  readonly shared: SharedMemory | undefined;
  /** Memory of other processes that blocks are laid in, where the system and our kernels offer it. */
  readonly images: ImageMemory | undefined;
  /** Whether there is a kernel that rounds the operands of a product to bf16 as it reads them, and sums in f32. */
  readonly hasBf16Products: boolean;
  /** Whether our kernel multiplies f32 faster than TensorFlow's on this processor: told by its instructions, so that all workers of a machine agree. */
  readonly hasFastProducts: boolean;
  readonly fallbackReason: string | undefined;
  #level1Calls = 0;
  #productsRound: boolean | undefined;

  constructor(loaded: LoadedTfjs) {
    this.tf = loaded.tf;
    this.backend = loaded.name;
    this.native = loaded.node === undefined ? undefined : new NativeOps(loaded.node);
    const kernels = loaded.node === undefined ? undefined : loadKernels();
    if (loaded.node !== undefined && kernels !== undefined && typeof kernels !== "string") {
      this.fused = new FusedOp(loaded.node, kernels.fused);
      this.shared = SharedMemory.of(loaded.node, kernels.exchange);
      this.images = ImageMemory.of(loaded.node, kernels.staging);
      this.hasBf16Products = kernels.matmul.bf16;
      this.hasFastProducts = kernels.matmul.f32;
    } else {
      this.hasBf16Products = false;
      this.hasFastProducts = false;
    }
    this.fallbackReason = loaded.fallbackReason;
  }

  /** Kernels called so far. */
  get kernelCalls(): number {
    return this.#level1Calls + (this.native?.calls ?? 0) + (this.fused?.calls ?? 0);
  }

  /** Kernels of level 1 say that they call the backend. */
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

  /** A copy of what a tensor holds, which is the caller's. */
  download(tensor: DeviceTensor): Numbers {
    const data = tensor.dataSync();
    if (data instanceof Uint8Array) return Int32Array.from(data);
    // Backends without a memory of their own hand out their data itself.
    return this.native === undefined || tensor.size === 1 ? data.slice() : data;
  }

  /** The first product loads half of the library: better before the first step than in it. */
  warmUp(): void {
    const a = this.tf.ones([64, 64]);
    const b = this.tf.matMul(a, a);
    b.dataSync();
    this.tf.dispose([a, b]);
  }

  /**
   * Whether this processor rounds the operands of f32 products to bf16 by itself (oneDNN told so by
   * TF_SET_ONEDNN_FPMATH_MODE=BF16), for small and large products alike. Found out by multiplying numbers that bf16 cannot hold.
   */
  get productsRoundToBf16(): boolean {
    this.#productsRound ??= [4, 32, 128].every((n) => this.#roundsAt(n));
    return this.#productsRound;
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

/** Loads tfjs and stands ready. */
export async function openDevice(backend: BackendName = "tensorflow"): Promise<Device> {
  return new Device(await loadTfjs(backend));
}
