import { LapidaryError } from "@lapidary/std";
import { type ExchangeFunctions, type ExchangeId, exchangeFunctions } from "./exchange.js";
import { libraryPath } from "./library-path.js";
import { type FunctionNames, hasFunctions, loadLibrary } from "./load-library.js";
import type { NativeId } from "./native-id.js";
import { opcodeList } from "./opcodes.js";
import { type ScatterId, type StagingFunctions, stagingFunctions } from "./staging.js";

/** A registered program of `LapidaryFused`. */
export type FusedProgramId = NativeId<"fused program">;

/** The exports of the kernels library for fused kernels. */
export interface FusedFunctions {
  /** @param code of the worker's `fusion/encode.ts` @throws if the code is malformed */
  registerProgram(code: Int32Array, constants: Float32Array): FusedProgramId;
}

const fusedFunctions: FunctionNames<FusedFunctions> = { registerProgram: true };

/** A registered matmul of `LapidaryDot`. */
export type DotId = NativeId<"dot">;

/** The exports of the kernels library for matmuls with few rows. */
export interface DotFunctions {
  /** @param code of the executor's `kernels/few-rows.ts` @throws if the code is malformed */
  registerDot(code: Int32Array): DotId;
}

const dotFunctions: FunctionNames<DotFunctions> = { registerDot: true };

/** A registered sequence of `LapidarySequence`. */
type SequenceId = NativeId<"sequence">;

/** The exports of the kernels library for sequences of kernels. */
export interface SequenceFunctions {
  /** @param code of the executor's `sequence/encode.ts` @throws if the code is malformed */
  registerSequence(code: Int32Array): SequenceId;
}
const sequenceFunctions: FunctionNames<SequenceFunctions> = { registerSequence: true };

/** The advantages of `LapidaryMatMul` on this processor. */
interface MatMulSupport {
  /** It multiplies f32 faster than TensorFlow. */
  readonly f32: boolean;
  /** It rounds operands to bf16 while it reads them, and adds in f32. */
  readonly bf16: boolean;
}

/** The loaded library. Loading registers its TensorFlow ops. */
export interface KernelsLibrary {
  readonly fused: FusedFunctions;
  readonly matmul: MatMulSupport;
  /** Undefined on processors that do not support it. */
  readonly dot: DotFunctions | undefined;
  readonly sequence: SequenceFunctions | undefined;
  /** Undefined on systems that do not support it. */
  readonly exchange: ExchangeFunctions | undefined;
  /** Undefined on systems that do not support it. */
  readonly staging: StagingFunctions | undefined;
}

/** The TensorFlow ops of the library: their attributes, as cpp/kernels registers them. `T` is a dtype. */
export interface KernelOps {
  readonly LapidaryFused: {
    /** Numbers of f32, i32 and pred operands, and of outputs. */
    readonly NF: number;
    readonly NI: number;
    readonly NB: number;
    readonly NO: number;
    readonly program: FusedProgramId;
  };
  readonly LapidaryMatMul: { readonly adj_x: boolean; readonly adj_y: boolean; readonly bf16: boolean };
  readonly LapidaryDot: { readonly dot: DotId };
  readonly LapidarySequence: {
    /** Numbers of f32, i32 and pred operands, and of such outputs. */
    readonly NF: number;
    readonly NI: number;
    readonly NB: number;
    readonly OF: number;
    readonly OI: number;
    readonly OB: number;
    readonly sequence: SequenceId;
    /** Whether outputs take the memory of the operands that they replace. */
    readonly in_place: boolean;
  };
  readonly LapidaryUpdateSlice: {
    readonly T: "f32" | "i32";
    /** Size of the updated dim, and the number of elements of the dims after it. */
    readonly whole: number;
    readonly inner: number;
    /** Whether the operand is not used again, so that the result may take its memory. */
    readonly in_place: boolean;
  };
  readonly LapidarySlice: { readonly T: "f32" | "i32"; readonly dimension: number; readonly size: number };
  readonly LapidarySend: { readonly T: "f32" | "i32"; readonly exchange: ExchangeId };
  readonly LapidarySendCorrupted: { readonly T: "f32" | "i32"; readonly exchange: ExchangeId };
  readonly LapidaryReceive: { readonly T: "f32" | "i32"; readonly exchange: ExchangeId };
  /** `N`: number of blocks. */
  readonly LapidaryScatterWrite: { readonly N: number; readonly scatter: ScatterId };
}

/**
 * The library of TensorFlow ops, or the reason why it cannot be used. Workers compute the same results without it.
 *
 * @param path of the library; tests pass other paths
 * @throws LAP_WORKER_OPCODES if the library was compiled for another op table: its opcodes would compute other ops
 */
export function loadKernels(path = libraryPath("kernels")): KernelsLibrary | string {
  const library = loadLibrary(path);
  if (typeof library === "string") return library;
  if (Reflect.get(library, "opcodes") !== opcodeList)
    throw new LapidaryError({
      code: "LAP_WORKER_OPCODES",
      message: "the compiled kernels belong to another version of the op table",
      location: path,
    });
  if (!hasFunctions<FusedFunctions>(library, fusedFunctions)) return `${path} exports no function registerProgram`;
  const matmul: unknown = Reflect.get(library, "matmul");
  return {
    fused: library,
    matmul: { f32: isTrue(matmul, "f32"), bf16: isTrue(matmul, "bf16") },
    dot: hasFunctions<DotFunctions>(library, dotFunctions) ? library : undefined,
    sequence: hasFunctions<SequenceFunctions>(library, sequenceFunctions) ? library : undefined,
    exchange: hasFunctions<ExchangeFunctions>(library, exchangeFunctions) ? library : undefined,
    staging: hasFunctions<StagingFunctions>(library, stagingFunctions) ? library : undefined,
  };
}

const isTrue = (value: unknown, key: keyof MatMulSupport): boolean =>
  typeof value === "object" && value !== null && Reflect.get(value, key) === true;
