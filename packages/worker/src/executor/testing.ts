import type { HostProgram } from "@lapidary/compiler";
import { type Graph, type Tensor, type Value, replicated } from "@lapidary/ir";
import { must, systemClock } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import type { Device } from "../device/device.js";
import { toArrayData, toTensor } from "../kernels/testing.js";
import type { Numerics } from "../kernels/index.js";
import { portsOf } from "./chipwise.js";
import { disposeHeld } from "./executor.js";
import { StackedProgram, prepareHostProgram, stackedExecutor } from "./stacked.js";

/** Helpers of this package's tests. */

/** A global graph as the host program of a single worker with a single chip: nothing is sharded, nothing crosses. */
export function hostProgramOf(graph: Graph): HostProgram {
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

/** @param fuse whether chains of memory-bound kernels are joined, where the device can */
export function loadPlan(device: Device, graph: Graph, numerics: Numerics = "f32", fuse = true): StackedProgram {
  const program = hostProgramOf(graph);
  const options = { device, mesh: program.mesh, grid: program.grid, worker: 0, peers: undefined, numerics, clock: systemClock, fuse };
  return new StackedProgram(prepareHostProgram(program, options, portsOf(program.graph, program.mesh)), options);
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
  const executor = stackedExecutor({ device, mesh, grid, worker: 0, peers: undefined, numerics, clock: systemClock });
  const held = program.parameters.map(({ name, type, sharding }) =>
    executor.put(type, sharding, toArrayData(must(inputs.get(name), name))),
  );
  const outputs = await program.run(
    held,
    held.map(() => true),
    "run",
  );
  const results = new Map(
    program.outputs.map(({ name, type, sharding }, i) => [name, toTensor(executor.fetch(must(outputs[i], name), type, sharding))]),
  );
  for (const output of outputs) disposeHeld(output);
  program.dispose();
  return results;
}
