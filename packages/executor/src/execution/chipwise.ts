import {
  type Dtype,
  type Graph,
  type Sharding,
  type TensorType,
  type Value,
  type ValueId,
  forEachRun,
  globalDims,
  localDims,
  ops,
  regionsOf,
  shiftPieces,
} from "@lapidary/ir";
import { assert, type Clock, ensure } from "@lapidary/std";
import { type Mesh, makeWorkerGrid, meshSize, parseAtoms, replicaGroups, shardIndex } from "@lapidary/topology";
import {
  type ArrayData,
  type GroupLayout,
  type ProgramTensors,
  arrayLayout,
  arrayOf,
  blockOf,
  programTensors,
  ranksOf,
  takeBlock,
  wholeFromBlocks,
  workerRank,
} from "@lapidary/protocol";
import type { Device } from "../device/device.js";
import type { Bound } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type KernelContext, type KernelName, type Numerics, blockPlacement, bindKernel, wholePlacement } from "../kernels/index.js";
import { bindShiftPieces } from "../kernels/shift.js";
import { type Executable, type Executor, type Held, disposeHeld, kernelError } from "./executor.js";

/**
 * The reference executor. It has one value for each chip, runs each op once for each chip, and computes collectives by their definition. All chips of the
 * mesh are in one process.
 */
export function chipwiseExecutor(device: Device, mesh: Mesh, numerics: Numerics, clock: Clock): Executor {
  // In a grid of all sub-axes, a worker number is a chip number and a block is a shard.
  const group: GroupLayout = { mesh, grid: makeWorkerGrid(mesh, meshSize(mesh)) };
  return {
    prepare: (chip) => ({ kind: "chipwise", chip }),
    load: (prepared) => {
      assert(prepared.kind === "chipwise", "prepared by this executor", prepared.kind);
      return new ChipwiseProgram(device, mesh, prepared.chip, numerics, clock);
    },
    put: (tensor, block) =>
      ranksOf(meshSize(mesh)).map((chip) => {
        const part = takeBlock(block, blockOf(arrayLayout(group, tensor), chip));
        return device.upload(tensor.dtype, part.dims, part.data);
      }),
    fetch: (held, tensor) =>
      wholeFromBlocks(tensor.dtype, arrayLayout(group, tensor), (chip) =>
        downloadAs(device, ensure(held[chip], `chip ${chip}`), tensor.dtype, localDims(mesh, tensor.dims, tensor.sharding)),
      ),
  };
}

export const downloadAs = (device: Device, tensor: DeviceTensor, dtype: Dtype, dims: readonly number[]): ArrayData =>
  arrayOf(dtype, dims, device.download(tensor));

/** By value: the operands that no later value uses. Outputs are never among them. */
function lastUses(graph: Graph): ValueId[][] {
  const seen = new Set(graph.outputs.map(({ value }) => value));
  const uses: ValueId[][] = graph.values.map(() => []);
  const lastOf = new Map(regionsOf(graph).map(({ id, last }) => [id, last]));
  for (const value of [...graph.values].reverse())
    for (const id of value.inputs)
      if (!seen.has(id)) {
        seen.add(id);
        // Every iteration of a region reads the values from before the region.
        const region = value.scope.region?.id;
        const isOfBody = graph.values[id]?.scope.region?.id === region;
        uses[isOfBody ? value.id : (lastOf.get(region ?? -1) ?? value.id)]?.push(id);
      }
  return uses;
}

/** Computes one value on all chips. */
type Step = (operands: readonly Held[]) => DeviceTensor[];

class ChipwiseProgram implements Executable {
  readonly tensors: ProgramTensors;
  readonly calls = [];
  readonly #graph: Graph;
  readonly #clock: Clock;
  readonly #kept: DeviceTensor[] = [];
  readonly #steps: readonly (Step | undefined)[];
  /** By value: the operands that no later value uses. */
  readonly #lastUses: readonly (readonly ValueId[])[];
  #runs = 0;
  #total_ms = 0;

  constructor(
    readonly device: Device,
    readonly mesh: Mesh,
    graph: Graph,
    readonly numerics: Numerics,
    clock: Clock,
  ) {
    this.#graph = graph;
    this.#clock = clock;
    this.tensors = programTensors(graph);
    this.#lastUses = lastUses(graph);
    this.#steps = graph.values.map((value) => (value.op === "parameter" ? undefined : this.#bind(value)));
  }

  get times(): Executable["times"] {
    return { gemm_ms: 0, otherKernels_ms: this.#total_ms, fused_ms: 0, fabricWait_ms: 0, total_ms: this.#total_ms, runs: this.#runs };
  }

  run(inputs: readonly Held[], donated: readonly boolean[]): Promise<Held[]> {
    const began = this.#clock.monotonic();
    const results: (Held | undefined)[] = [];
    const consume = (): void =>
      inputs.forEach((held, i) => {
        if (donated[i] === true) disposeHeld(held);
      });
    let parameter = 0;
    const regionEnds = new Map(regionsOf(this.#graph).map(({ last, count }) => [last, count]));
    const compute = (value: Value, again: ValueId | undefined): Held => {
      const step = this.#steps[value.id];
      if (step === undefined) return ensure(inputs[parameter++], value.name).map((x) => x.clone());
      if (again === undefined) return step(value.inputs.map((id) => ensure(results[id], "operand")));
      const carried = ensure(results[again], "result of the iteration before");
      results[again] = undefined;
      return carried;
    };
    let current: Value | undefined;
    try {
      forEachRun(this.#graph, (value, again) => {
        current = value;
        disposeHeld(results[value.id] ?? []);
        results[value.id] = compute(value, again);
        const left = regionEnds.get(value.id);
        if (left !== undefined) regionEnds.set(value.id, left - 1);
        const isRepeated = left !== undefined && left > 1;
        for (const id of this.#lastUses[value.id] ?? []) {
          if (isRepeated && this.#graph.values[id]?.scope.region?.id !== value.scope.region?.id) continue;
          disposeHeld(results[id] ?? []);
          results[id] = undefined;
        }
      });
    } catch (error) {
      for (const held of results) disposeHeld(held ?? []);
      consume();
      return Promise.reject(kernelError(error, current?.op ?? "run", current?.name ?? ""));
    }
    const outputs = this.#graph.outputs.map(({ value }) => ensure(results[value], "output").map((x) => x.clone()));
    for (const held of results) disposeHeld(held ?? []);
    consume();
    this.#runs++;
    this.#total_ms += this.#clock.monotonic() - began;
    return Promise.resolve(outputs);
  }

  dispose(): void {
    for (const tensor of this.#kept.splice(0)) tensor.dispose();
  }

  #bind(value: Value): Step {
    const { mesh } = this;
    const input = this.#graph.values[value.inputs[0] ?? -1]?.type ?? value.type;
    switch (value.op) {
      case "all_gather":
        return this.#perGroup(value.attrs.axes, (members) => {
          const concat = this.#concatenate(input, members, value.attrs.dimension);
          return (operands) => everyMember(members, concat(operands));
        });
      case "all_reduce":
        return this.#perGroup(value.attrs.axes, (members) => {
          const combine = this.#combine(input, value.attrs.kind);
          return (operands) => everyMember(members, combine(operands));
        });
      case "reduce_scatter":
        return this.#perGroup(value.attrs.axes, (members) => {
          const combine = this.#combine(input, value.attrs.kind);
          const parts = members.map((_, i) => this.#part(input, value.attrs.dimension, members.length, i));
          return (operands) => {
            const whole = combine(operands);
            const results = parts.map((part) => part([whole]));
            whole.dispose();
            return results;
          };
        });
      case "all_to_all":
        return this.#perGroup(value.attrs.axes, (members) => {
          const { splitDimension, concatDimension } = value.attrs;
          const part = (i: number): Bound => this.#part(input, splitDimension, members.length, i);
          const partType = { ...input, dims: input.dims.map((size, d) => (d === splitDimension ? size / members.length : size)) };
          const concat = this.#concatenate(partType, members, concatDimension);
          const parts = members.map((_, i) => part(i));
          return (operands) =>
            parts.map((take) => {
              const pieces = operands.map((x) => take([x]));
              const result = concat([...pieces]);
              for (const piece of pieces) piece.dispose();
              return result;
            });
        });
      case "collective_permute":
        return this.#perGroup(value.attrs.axes, (members) => {
          const { attrs } = value;
          const rows = input.dims[attrs.dimension] ?? 1;
          const parts = members.map((_, member) =>
            bindShiftPieces(this.device, input.dims, attrs.dimension, shiftPieces(members.length, rows, member, attrs)),
          );
          return (operands) => parts.map((part) => part(operands));
        });
      case "shard_slice": {
        const atoms = parseAtoms(mesh, value.attrs.axes);
        const { dimension, size } = value.attrs;
        const parts = Array.from({ length: size }, (_, i) => this.#part(input, dimension, size, i));
        return ([held]) => ensure(held, "operand").map((x, chip) => ensure(parts[shardIndex(mesh, chip, atoms)], "part")([x]));
      }
      default:
        return this.#local(value);
    }
  }

  /** Binds a collective by replica group. A bound group maps the operands of its members to their results. */
  #perGroup(axes: readonly string[], bind: (members: readonly number[]) => (operands: DeviceTensor[]) => DeviceTensor[]): Step {
    const groups = replicaGroups(this.mesh, parseAtoms(this.mesh, axes)).map((members) => ({ members, run: bind(members) }));
    return ([held]) => {
      const results: DeviceTensor[] = [];
      for (const { members, run } of groups) {
        const made = run(members.map((chip) => ensure(held?.[chip], "operand")));
        members.forEach((chip, i) => {
          results[chip] = ensure(made[i], "result");
        });
      }
      return results;
    };
  }

  #local(value: Value): Step {
    const { mesh } = this;
    const grid = makeWorkerGrid(mesh, meshSize(mesh));
    const types = value.inputs.map((id) => ensure(this.#graph.values[id], "operand"));
    const placementOf = (chip: number, of: Value): ReturnType<typeof blockPlacement> => {
      const sharding: Sharding = ensure(of.sharding, `sharding of ${of.name}`);
      return blockPlacement({ mesh, grid, worker: workerRank(chip), dims: globalDims(mesh, of.type.dims, sharding), sharding });
    };
    const context = (chip: number): KernelContext<KernelName> =>
      this.#context(
        value.attrs,
        types.map((of) => of.type),
        value.type,
        types.map((of) => placementOf(chip, of)),
        placementOf(chip, value),
      );
    const shared = ops[value.op].placed ? undefined : bindKernel(value.op as KernelName, context(0));
    const bound = Array.from({ length: meshSize(mesh) }, (_, chip) => shared ?? bindKernel(value.op as KernelName, context(chip)));
    return (operands) => bound.map((kernel, chip) => kernel(operands.map((held) => ensure(held[chip], "operand"))));
  }

  #context(
    attrs: unknown,
    inputs: readonly TensorType[],
    output: TensorType,
    inputPlacements = inputs.map((type) => wholePlacement(type.dims)),
    outputPlacement = wholePlacement(output.dims),
  ): KernelContext<KernelName> {
    const keep = (tensor: DeviceTensor): DeviceTensor => {
      this.#kept.push(tensor);
      return tensor;
    };
    return {
      device: this.device,
      attrs,
      inputs,
      output,
      numerics: this.numerics,
      inputPlacements,
      outputPlacement,
      keep,
    } as KernelContext<KernelName>;
  }

  #concatenate(type: TensorType, members: readonly number[], dimension: number): Bound {
    const output = { ...type, dims: type.dims.map((size, d) => (d === dimension ? size * members.length : size)) };
    return bindKernel(
      "concatenate",
      this.#context(
        { dimension },
        members.map(() => type),
        output,
      ) as KernelContext<"concatenate">,
    );
  }

  /** Sum, maximum or minimum over the members, in their order. */
  #combine(type: TensorType, kind: "sum" | "max" | "min"): Bound {
    const name = ({ sum: "add", max: "maximum", min: "minimum" } as const)[kind];
    const pair = bindKernel(name, this.#context({}, [type, type], type) as KernelContext<"add">);
    return (operands) => {
      let total = ensure(operands[0], "operand").clone();
      for (const next of operands.slice(1)) {
        const sum = pair([total, next]);
        total.dispose();
        total = sum;
      }
      return total;
    };
  }

  #part(type: TensorType, dimension: number, parts: number, index: number): Bound {
    const size = (type.dims[dimension] ?? 0) / parts;
    assert(Number.isInteger(size), "a collective divides its dim", type.dims, dimension, parts);
    const start = type.dims.map((_, d) => (d === dimension ? index * size : 0));
    const limit = type.dims.map((whole, d) => (d === dimension ? (index + 1) * size : whole));
    const output = { ...type, dims: limit.map((l, d) => l - (start[d] ?? 0)) };
    return bindKernel("slice", this.#context({ start, limit }, [type], output) as KernelContext<"slice">);
  }
}

/** One result for all members. Each member gets its own tensor handle. */
function everyMember(members: readonly number[], result: DeviceTensor): DeviceTensor[] {
  const handles = members.map(() => result.clone());
  result.dispose();
  return handles;
}
