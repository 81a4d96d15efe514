import type { HostCollective } from "@lapidary/compiler";
import type { Peers } from "@lapidary/fabric";
import { type CollectiveName, type TensorType, sizeOf } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { type Mesh, type WorkerGrid, workerGroup } from "@lapidary/topology";
import { type Numbers, bytesOfNumbers, emptyNumbers, numbersOf } from "@lapidary/protocol";
import type { Device } from "../device/device.js";
import type { Bound } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type KernelContext, bindKernel, wholePlacement } from "../kernels/index.js";
import { type WorkerAxes, workerAxes } from "./worker-axes.js";

/** A collective between workers, bound when the program is loaded. It starts to send and resolves to its result. It does not dispose its operand. */
export type Exchange = (input: DeviceTensor, tag: string) => Promise<DeviceTensor>;

export interface ExchangeContext {
  readonly device: Device;
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly worker: number;
  /** Undefined if the group has one worker, which exchanges nothing. */
  readonly peers: Peers | undefined;
  /** Registers a tensor that is disposed with the program. */
  readonly keep: (tensor: DeviceTensor) => DeviceTensor;
}

/** Up to this size, every member gets the whole operands of an all-reduce: one round trip instead of two. */
const directBytes = 64 * 1024;

/**
 * Binds a collective of a host program. The device splits and joins arrays by moving the workers' axes to the front. If they are the major axes, that is a
 * view. The device adds in the order of the group, so that every member gets the same bits.
 */
export function bindExchange(
  context: ExchangeContext,
  op: CollectiveName,
  kind: "sum" | "max" | "min",
  collective: HostCollective,
  input: TensorType,
  output: TensorType,
): Exchange {
  const group = workerGroup(context.mesh, context.grid, context.worker, collective.atoms);
  const member = group.indexOf(context.worker);
  assert(member >= 0, "a worker is a member of its own group", group, context.worker);
  const split = collective.split === undefined ? undefined : workerAxes(input.dims, collective.split);
  const gather = collective.gather === undefined ? undefined : workerAxes(output.dims, collective.gather);
  const parts = new Parts(context, group, member, input.dtype);
  switch (op) {
    case "all_gather": {
      const join = parts.bindJoin(ensure(gather, "gather layout"), output.dims);
      return async (x, tag) => {
        const own = parts.download(x);
        return join(await parts.exchange(tag, () => own));
      };
    }
    case "all_to_all": {
      const cut = parts.bindCut(ensure(split, "split layout"), input.dims);
      const joined = ensure(gather, "gather layout");
      const join = parts.bindJoin(joined, output.dims);
      return async (x, tag) => join(await parts.exchange(tag, cut(x)));
    }
    case "reduce_scatter": {
      const cut = parts.bindCut(ensure(split, "split layout"), input.dims);
      const sum = parts.bindCombine(kind, output.dims);
      return async (x, tag) => sum(await parts.exchange(tag, cut(x)));
    }
    case "all_reduce":
      return parts.bindAllReduce(kind, input.dims);
    // Lowering replaces it by an all_gather, a shift and a shard_slice.
    case "collective_permute":
      throw new Error("a worker program has no collective_permute");
    case "shard_slice": {
      const take = parts.bindOwnPart(ensure(split, "split layout"), input.dims, output.dims);
      return (x) => Promise.resolve(take([x]));
    }
  }
}

/** Splits, sends and joins the arrays of one collective. */
class Parts {
  readonly #context: ExchangeContext;
  readonly #group: readonly number[];
  readonly #member: number;
  readonly #dtype: TensorType["dtype"];

  constructor(context: ExchangeContext, group: readonly number[], member: number, dtype: TensorType["dtype"]) {
    this.#context = context;
    this.#group = group;
    this.#member = member;
    this.#dtype = dtype;
  }

  download(tensor: DeviceTensor): Numbers {
    return this.#context.device.download(tensor);
  }

  /** Sends `part(i)` to the i-th member. Returns the parts of all members, in the order of the group. */
  async exchange(tag: string, part: (member: number) => Numbers): Promise<Received> {
    const peers = ensure(this.#context.peers, "peers");
    const others = this.#group.filter((_, i) => i !== this.#member);
    const sends = new Map(
      this.#group.flatMap((worker, i): [number, Uint8Array][] => (i === this.#member ? [] : [[worker, bytesOfNumbers(part(i))]])),
    );
    const own = part(this.#member);
    const received = await peers.exchange(tag, sends, others);
    const buffers: Uint8Array[] = [];
    const arrays = this.#group.map((worker, i) => {
      if (i === this.#member) return own;
      const bytes = ensure(received.get(worker), `part of worker ${worker}`);
      buffers.push(bytes);
      return numbersOf(this.#dtype, bytes);
    });
    return { arrays, release: () => buffers.forEach((buffer) => peers.recycle(buffer)) };
  }

  /** Splits an array into the parts of the members. */
  bindCut(axes: WorkerAxes, dims: readonly number[]): (x: DeviceTensor) => (member: number) => Numbers {
    const toFront = this.#chainViews(dims, [{ reshape: axes.factors }, { transpose: axes.toFront }]);
    const count = sizeOf(dims) / this.#group.length;
    return (x) => {
      const arranged = toFront([x]);
      const data = this.download(arranged);
      arranged.dispose();
      return (member) => data.subarray(member * count, (member + 1) * count);
    };
  }

  /** Joins the arrays of the members. */
  bindJoin(axes: WorkerAxes, dims: readonly number[]): (received: Received) => DeviceTensor {
    const inFront = axes.toFront.map((axis) => axes.factors[axis] ?? 1);
    const back = axes.factors.map((_, axis) => axes.toFront.indexOf(axis));
    const arrange = this.#chainViews(inFront, [{ transpose: back }, { reshape: dims }]);
    const { device } = this.#context;
    return ({ arrays, release }) => {
      const all = emptyNumbers(this.#dtype, sizeOf(dims));
      let at = 0;
      for (const array of arrays) {
        all.set(array, at);
        at += array.length;
      }
      assert(at === all.length, "the members' parts fill the whole", at, all.length);
      release();
      const stacked = device.upload(this.#dtype, inFront, all);
      const result = arrange([stacked]);
      stacked.dispose();
      return result;
    };
  }

  /** Reduces the arrays of the members, in the order of the group. */
  bindCombine(kind: "sum" | "max" | "min", dims: readonly number[]): (received: Received) => DeviceTensor {
    const name = ({ sum: "add", max: "maximum", min: "minimum" } as const)[kind];
    const type = { dtype: this.#dtype, dims };
    const pair = bindKernel(name, this.#kernelContext({}, [type, type], type) as KernelContext<"add">);
    const { device } = this.#context;
    return ({ arrays, release }) => {
      const tensors = arrays.map((array) => device.upload(this.#dtype, dims, array));
      const total = tensors.reduce((sum, next) => {
        const result = pair([sum, next]);
        sum.dispose();
        next.dispose();
        return result;
      });
      release();
      return total;
    };
  }

  /** Every member adds all of a small array. Of a large array, each member adds its share, and the sums are gathered. */
  bindAllReduce(kind: "sum" | "max" | "min", dims: readonly number[]): Exchange {
    const size = sizeOf(dims);
    const members = this.#group.length;
    if (members === 2 || size * 4 <= directBytes) {
      const combine = this.bindCombine(kind, dims);
      return async (x, tag) => {
        const own = this.download(x);
        return combine(await this.exchange(tag, () => own));
      };
    }
    const share = Math.ceil(size / members);
    const bounds = (member: number): [number, number] => [Math.min(size, member * share), Math.min(size, (member + 1) * share)];
    const [from, to] = bounds(this.#member);
    const combine = to > from ? this.bindCombine(kind, [to - from]) : undefined;
    const { device } = this.#context;
    return async (x, tag) => {
      const own = this.download(x);
      const mine = await this.exchange(`${tag}/reduce`, (member) => own.subarray(...bounds(member)));
      let sum = emptyNumbers(this.#dtype, 0);
      if (combine === undefined) mine.release();
      else {
        const total = combine(mine);
        sum = this.download(total);
        total.dispose();
      }
      const { arrays, release } = await this.exchange(`${tag}/gather`, () => sum);
      const all = emptyNumbers(this.#dtype, size);
      arrays.forEach((array, member) => all.set(array, bounds(member)[0]));
      release();
      return device.upload(this.#dtype, dims, all);
    };
  }

  /** Takes this worker's part of an array that all members have. */
  bindOwnPart(axes: WorkerAxes, dims: readonly number[], partDims: readonly number[]): Bound {
    const inFront = axes.toFront.map((axis) => axes.factors[axis] ?? 1);
    const rest = sizeOf(dims) / this.#group.length;
    const toFront = this.#chainViews(dims, [
      { reshape: axes.factors },
      { transpose: axes.toFront },
      { reshape: [this.#group.length, rest] },
    ]);
    assert(sizeOf(inFront) === sizeOf(dims), "factors fill their dims", inFront, dims);
    const slice = bindKernel(
      "slice",
      this.#kernelContext(
        { start: [this.#member, 0], limit: [this.#member + 1, rest] },
        [{ dtype: this.#dtype, dims: [this.#group.length, rest] }],
        { dtype: this.#dtype, dims: [1, rest] },
      ) as KernelContext<"slice">,
    );
    const shape = this.#chainViews([1, rest], [{ reshape: partDims }]);
    return (inputs) => {
      const arranged = toFront(inputs);
      const part = slice([arranged]);
      arranged.dispose();
      const result = shape([part]);
      part.dispose();
      return result;
    };
  }

  #chainViews(
    dims: readonly number[],
    steps: readonly ({ readonly reshape: readonly number[] } | { readonly transpose: readonly number[] })[],
  ): Bound {
    let current = dims;
    const bound = steps.map((step): Bound => {
      const input = { dtype: this.#dtype, dims: current };
      if ("reshape" in step) {
        current = step.reshape;
        return bindKernel(
          "reshape",
          this.#kernelContext({ dims: current }, [input], { ...input, dims: current }) as KernelContext<"reshape">,
        );
      }
      const permutation = step.transpose;
      current = permutation.map((axis) => input.dims[axis] ?? 1);
      return bindKernel(
        "transpose",
        this.#kernelContext({ permutation }, [input], { ...input, dims: current }) as KernelContext<"transpose">,
      );
    });
    return (inputs) => {
      let x = ensure(inputs[0], "operand");
      bound.forEach((run, i) => {
        const next = run([x]);
        if (i > 0) x.dispose();
        x = next;
      });
      return x;
    };
  }

  #kernelContext(attrs: unknown, inputs: readonly TensorType[], output: TensorType): unknown {
    const { device, keep } = this.#context;
    return {
      device,
      keep,
      attrs,
      inputs,
      output,
      numerics: "f32",
      inputPlacements: inputs.map((type) => wholePlacement(type.dims)),
      outputPlacement: wholePlacement(output.dims),
    };
  }
}

interface Received {
  /** In the order of the group, with this worker's own. */
  readonly arrays: readonly Numbers[];
  /** The caller calls this when it no longer needs the arrays. */
  readonly release: () => void;
}
