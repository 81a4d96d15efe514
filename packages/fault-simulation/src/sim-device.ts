import type { Executable, Executor, Held, Prepared } from "@lapidary/executor";
import { delay, type Peers } from "@lapidary/fabric";
import { type Graph, globalDims, sizeOf, type Value } from "@lapidary/ir";
import { arrayLayout, arrayOf, blockDimsOf, type GroupLayout, programTensors, ranksOf, type WorkerRank } from "@lapidary/protocol";
import { assert, ensure, LapidaryError } from "@lapidary/std";
import type { ExecutorOptions, WorkerDevice } from "@lapidary/worker/runtime";
import type { SimThread } from "./sim-process.js";

/** What a simulated device does besides computing. */
export interface DeviceFaults {
  /** A kernel of the run on this batch fails. Called once for each run that has a batch. */
  fails(batch: number): boolean;
  /** Milliseconds of processor time that reading one array costs. */
  readonly readCost_ms: number;
  /** Maximum time of a run of a program, in milliseconds. */
  readonly run_ms: number;
}

/** A device that interprets the small programs of the simulation, in f32. Its runs take virtual time. */
export function simDevice(thread: SimThread, faults: DeviceFaults): WorkerDevice {
  let kernelCalls = 0;
  let processorTime_ms = 0;
  return {
    backend: "wasm",
    get kernelCalls() {
      return kernelCalls;
    },
    stagingMemory: undefined,
    usage: () => ({ pid: thread.process.pid, tensors: 0, rss_bytes: 0 }),
    processorTime_ms: () => processorTime_ms,
    releaseMemory: () => undefined,
    executor: (options): Executor => ({
      prepare: (chip) => ({ kind: "chipwise", chip }),
      load: (prepared) =>
        new SimExecutable(prepared, options, {
          began: () => {
            kernelCalls++;
            return delay(thread.runtime.timer, faults.run_ms * (0.5 + 0.5 * thread.process.time.random.next()));
          },
          fails: (batch) => faults.fails(batch),
        }),
      put: (_, block) => [asHeld(Float32Array.from(block.data))],
      fetch: (held, tensor) => {
        processorTime_ms += faults.readCost_ms;
        const dims = blockDimsOf(arrayLayout(options.group, tensor));
        return arrayOf(tensor.dtype, dims, numbersIn(held).slice());
      },
    }),
  };
}

/** The numbers of a block, in place of a tensor of tfjs. */
interface SimTensor {
  readonly numbers: Float32Array;
  readonly size: number;
  readonly dtype: "float32";
  dispose(): void;
}

const asHeld = (numbers: Float32Array): Held[number] => {
  const tensor: SimTensor = { numbers, size: numbers.length, dtype: "float32", dispose: () => undefined };
  // The worker uses size, dtype and dispose of a tensor only.
  return tensor as unknown as Held[number];
};

const numbersIn = (held: Held): Float32Array => (ensure(held[0], "tensor") as unknown as SimTensor).numbers;

interface Hooks {
  /** Resolves when the run has taken its time. */
  began(): Promise<void>;
  fails(batch: number): boolean;
}

class SimExecutable implements Executable {
  readonly tensors: Executable["tensors"];
  readonly calls = [];
  readonly #graph: Graph;
  readonly #group: GroupLayout;
  readonly #worker: WorkerRank;
  readonly #peers: Peers | undefined;
  readonly #options: ExecutorOptions;
  readonly #hooks: Hooks;
  #runs = 0;
  #total_ms = 0;

  constructor(prepared: Prepared, options: ExecutorOptions, hooks: Hooks) {
    assert(prepared.kind === "chipwise", "prepared by this executor", prepared.kind);
    this.#graph = prepared.chip;
    this.#options = options;
    this.#group = options.group;
    this.#worker = options.configuration.worker;
    this.#peers = options.peers;
    this.#hooks = hooks;
    this.tensors = programTensors(prepared.chip);
  }

  get times(): Executable["times"] {
    return { gemm_ms: 0, otherKernels_ms: this.#total_ms, fused_ms: 0, fabricWait_ms: 0, total_ms: this.#total_ms, runs: this.#runs };
  }

  async run(inputs: readonly Held[], _donated: readonly boolean[], tag: string): Promise<Held[]> {
    const begin = this.#options.clock.monotonic();
    await this.#hooks.began();
    const results: Float32Array[] = [];
    let parameter = 0;
    for (const value of this.#graph.values) {
      const operands = value.inputs.map((id) => ensure(results[id], "operand"));
      const made =
        value.op === "parameter" ? numbersIn(ensure(inputs[parameter++], value.name)) : await this.#compute(value, operands, tag);
      if (value.op === "parameter" && value.attrs.name === "batch" && this.#hooks.fails(ensure(made[0], "batch")))
        throw new LapidaryError({ code: "LAP_WORKER_KERNEL", message: "a kernel failed", location: value.name, remedy: "none" });
      results[value.id] = made;
    }
    this.#runs++;
    this.#total_ms += this.#options.clock.monotonic() - begin;
    return this.#graph.outputs.map(({ value }) => [asHeld(ensure(results[value], "output"))]);
  }

  dispose(): void {
    // Nothing to free.
  }

  async #compute(value: Value, operands: readonly Float32Array[], tag: string): Promise<Float32Array> {
    const size = this.#sizeOf(value);
    const [a, b] = operands;
    const made = (element: (i: number) => number): Float32Array => Float32Array.from({ length: size }, (_, i) => element(i));
    const at = (x: Float32Array | undefined, i: number): number => ensure(x?.[i], "element");
    switch (value.op) {
      case "constant":
        return made(() => value.attrs.value);
      case "iota":
        return made((i) => this.#worker * size + i);
      case "broadcast_in_dim":
        return made(() => at(a, 0));
      case "add":
        return made((i) => at(a, i) + at(b, i));
      case "multiply":
        return made((i) => at(a, i) * at(b, i));
      case "reduce":
        return Float32Array.of(ensure(a, "operand").reduce((sum, x) => Math.fround(sum + x), 0));
      case "all_reduce":
        return this.#peers === undefined
          ? ensure(a, "operand")
          : this.#peers.allReduce(`${tag}/${value.id}`, ranksOf(this.#peers.size), ensure(a, "operand"));
      default:
        throw new Error(`invariant broken: no program of the simulation has the op ${value.op}`);
    }
  }

  /** Numbers in this worker's block of a value. */
  #sizeOf(value: Value): number {
    const sharding = ensure(value.sharding, "sharding");
    return sizeOf(blockDimsOf(arrayLayout(this.#group, { dims: globalDims(this.#group.mesh, value.type.dims, sharding), sharding })));
  }
}
