import type { HostProgram } from "@lapidary/compiler";
import { type Graph, type Tensor, type Value, replicated } from "@lapidary/ir";
import { programTensors, workerRank } from "@lapidary/protocol";
import { ensure, systemClock } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import type { Device } from "../device/device.js";
import { toArrayData, toTensor } from "../kernels/testing.js";
import type { Numerics } from "../kernels/index.js";
import { disposeHeld } from "./executor.js";
import { StackedProgram, prepareHostProgram, stackedExecutor } from "./stacked.js";

/** Helpers of this package's tests. */

/** A global graph as the host program of a single worker with a single chip: nothing is sharded, nothing crosses. */
function hostProgramOf(graph: Graph): HostProgram {
  const mesh = makeMesh({});
  const values = graph.values.map((value) => ({ ...value, sharding: replicated(value.type.dims.length) }) as Value);
  return {
    name: graph.name,
    mesh,
    grid: makeWorkerGrid(mesh, 1),
    graph: { ...graph, level: "host", mesh, values },
    collectives: new Map(),
  };
}

/** @param fuse whether chains of memory-bound ops are fused if the device has fused kernels */
export function loadPlan(device: Device, graph: Graph, numerics: Numerics = "f32", fuse = true): StackedProgram {
  const program = hostProgramOf(graph);
  const options = {
    device,
    mesh: program.mesh,
    grid: program.grid,
    worker: workerRank(0),
    peers: undefined,
    numerics,
    clock: systemClock,
    fuse,
  };
  return new StackedProgram(prepareHostProgram(program, options, programTensors(program.graph)), options);
}

/** Plans a global graph and runs it. */
export async function runPlan(
  device: Device,
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  numerics: Numerics = "f32",
  fuse = true,
): Promise<Map<string, Tensor>> {
  const program = loadPlan(device, graph, numerics, fuse);
  const { mesh, grid } = hostProgramOf(graph);
  const executor = stackedExecutor({ device, mesh, grid, worker: workerRank(0), peers: undefined, numerics, clock: systemClock });
  const held = program.tensors.parameters.map((tensor) => executor.put(tensor, toArrayData(ensure(inputs.get(tensor.id), tensor.id))));
  const outputs = await program.run(
    held,
    held.map(() => true),
    "run",
  );
  const results = new Map(
    program.tensors.outputs.map((tensor, i): [string, Tensor] => [
      tensor.id,
      toTensor(executor.fetch(ensure(outputs[i], tensor.id), tensor)),
    ]),
  );
  for (const output of outputs) disposeHeld(output);
  program.dispose();
  return results;
}
