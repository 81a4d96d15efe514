import type { Graph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type ArrayData, type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import type { WorkerGroup } from "./worker-group.js";

/** Puts whole arrays, runs a per-chip program on them and fetches all outputs. Afterwards only the program is on the workers. */
export async function runProgramOnce(
  group: WorkerGroup,
  program: { readonly chip: Graph },
  inputs: ReadonlyMap<string, ArrayData>,
): Promise<Map<string, ArrayData>> {
  const hash = await group.load(program);
  const parameters = group.parameters(hash);
  const outputs = group.outputs(hash);
  const inputId = (name: string): Handle => handleOf(`once/in/${name}`);
  const outputId = (name: string): Handle => handleOf(`once/out/${name}`);
  await Promise.all(
    parameters.map((tensor) => group.put({ ...tensor, id: inputId(tensor.id) }, ensure(inputs.get(tensor.id), `input ${tensor.id}`))),
  );
  const bound = group.bind(hash, {
    inputs: new Map(parameters.map(({ id }) => [id, inputId(id)])),
    outputs: new Map(outputs.map(({ id }) => [id, outputId(id)])),
    donate: parameters.map(({ id }) => inputId(id)),
  });
  const ran = group.run(bound, { step: stepIndex(0) });
  const fetched = Promise.all(outputs.map(async ({ id }): Promise<[string, ArrayData]> => [id, await group.fetch(outputId(id))]));
  const dropped = group.drop(outputs.map(({ id }) => outputId(id)));
  const [, arrays] = await Promise.all([ran, fetched, dropped]);
  return new Map(arrays);
}
