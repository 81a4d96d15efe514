import type { Dtype } from "@lapidary/ir";
import type { DotFunctions, DotId, KernelOps } from "@lapidary/native";
import { ensure } from "@lapidary/std";
import type { DeviceTensor, NodeBackend, OpAttribute } from "./tfjs.js";

/** `DT_BFLOAT16` of TensorFlow: tfjs has no name for it. */
const tfBfloat16 = 14;

/** A function that runs one bound op. */
export type Bound = (inputs: DeviceTensor[]) => DeviceTensor;

/** The attributes of a native op in the form of the node backend. */
export function kernelAttributes<Name extends keyof KernelOps>(
  binding: NodeBackend["binding"],
  _op: Name,
  attributes: KernelOps[Name],
): OpAttribute[] {
  const types = { f32: binding.TF_FLOAT, i32: binding.TF_INT32 };
  return Object.entries<number | boolean | "f32" | "i32">(attributes).map(([name, value]) => {
    if (typeof value === "number") return { name, type: binding.TF_ATTR_INT, value };
    if (typeof value === "boolean") return { name, type: binding.TF_ATTR_BOOL, value };
    return { name, type: binding.TF_ATTR_TYPE, value: types[value] };
  });
}

/** Kernels of level 2: TensorFlow ops by name, through tfjs-node. Everything except the operands is prepared when a program is loaded. */
export class NativeOps {
  readonly #node: NodeBackend;
  readonly #dot: DotFunctions | undefined;
  #calls = 0;

  constructor(node: NodeBackend, dot: DotFunctions | undefined) {
    this.#node = node;
    this.#dot = dot;
  }

  /** Whether the library has `LapidaryDot`. */
  get hasDot(): boolean {
    return this.#dot !== undefined;
  }

  get calls(): number {
    return this.#calls;
  }

  /** An op with one output. `trailing` are constant operands after the given ones. */
  bind(name: string, attributes: readonly OpAttribute[], trailing: readonly DeviceTensor[] = []): Bound {
    const node = this.#node;
    if (trailing.length === 0)
      return (inputs) => {
        this.#calls++;
        return node.executeSingleOutput(name, attributes, inputs);
      };
    return (inputs) => {
      this.#calls++;
      inputs.push(...trailing);
      return node.executeSingleOutput(name, attributes, inputs);
    };
  }

  /** The native matmul. Either operand may be transposed. */
  bindMatMul(attributes: KernelOps["LapidaryMatMul"]): Bound {
    return this.bind("LapidaryMatMul", kernelAttributes(this.#node.binding, "LapidaryMatMul", attributes));
  }

  /** The number of a matmul for few rows. @param code of `encodeFewRows` */
  registerDot(code: Int32Array): DotId {
    return ensure(this.#dot, "LapidaryDot").registerDot(code);
  }

  /** The native matmul for few rows. @param code of `encodeFewRows` */
  bindDot(code: Int32Array): Bound {
    const dot = this.registerDot(code);
    return this.bind("LapidaryDot", kernelAttributes(this.#node.binding, "LapidaryDot", { dot }));
  }

  /** The library's dynamic_slice. Its second operand is the start. */
  bindSlice(attributes: KernelOps["LapidarySlice"]): Bound {
    return this.bind("LapidarySlice", kernelAttributes(this.#node.binding, "LapidarySlice", attributes));
  }

  /** The library's rng_uniform. @param indices `rows`, `columns` and `dims` of the kernel */
  bindUniform(indices: readonly DeviceTensor[]): Bound {
    return this.bind("LapidaryUniform", [], indices);
  }

  /** The library's dynamic_update_slice. */
  bindUpdateSlice(attributes: KernelOps["LapidaryUpdateSlice"]): Bound {
    return this.bind("LapidaryUpdateSlice", kernelAttributes(this.#node.binding, "LapidaryUpdateSlice", attributes));
  }

  /** Rounds f32 to the nearest bf16 (ties to even) and back. These are two casts; tfjs sees only the second result. */
  bindRoundToBf16(): Bound {
    const { binding } = this.#node;
    const cast = (from: number, to: number): OpAttribute[] => [
      this.#typeOf("SrcT", from),
      this.#typeOf("DstT", to),
      this.bool("Truncate", false),
    ];
    const narrow = cast(binding.TF_FLOAT, tfBfloat16);
    const widen = cast(tfBfloat16, binding.TF_FLOAT);
    return (inputs) => {
      this.#calls += 2;
      const half = ensure(binding.executeOp("Cast", narrow, this.#node.getInputTensorIds(inputs), 1)[0], "result").id;
      const whole = ensure(binding.executeOp("Cast", widen, [half], 1)[0], "result");
      binding.deleteTensor(half);
      return this.#node.createOutputTensor(whole);
    };
  }

  type(name: string, dtype: Dtype): OpAttribute {
    const { TF_FLOAT, TF_INT32, TF_BOOL } = this.#node.binding;
    return this.#typeOf(name, { f32: TF_FLOAT, bf16: TF_FLOAT, i32: TF_INT32, pred: TF_BOOL }[dtype]);
  }

  bool(name: string, value: boolean): OpAttribute {
    return { name, type: this.#node.binding.TF_ATTR_BOOL, value };
  }

  int(name: string, value: number): OpAttribute {
    return { name, type: this.#node.binding.TF_ATTR_INT, value };
  }

  string(name: string, value: string): OpAttribute {
    return { name, type: this.#node.binding.TF_ATTR_STRING, value };
  }

  #typeOf(name: string, value: number): OpAttribute {
    return { name, type: this.#node.binding.TF_ATTR_TYPE, value };
  }
}
