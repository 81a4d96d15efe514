import type { Graph } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { type ArrayData, type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import type { Gang } from "./gang.js";

/** Puts whole arrays, runs a per-chip program on them and fetches all outputs, leaving nothing behind on the workers but the program. */
export async function runProgramOnce(
  gang: Gang,
  program: { readonly chip: Graph },
  inputs: ReadonlyMap<string, ArrayData>,
): Promise<Map<string, ArrayData>> {
  const hash = await gang.load(program);
  const parameters = gang.parameters(hash);
  const outputs = gang.outputs(hash);
  const inputId = (name: string): Handle => handleOf(`once/in/${name}`);
  const outputId = (name: string): Handle => handleOf(`once/out/${name}`);
  await Promise.all(
    parameters.map((tensor) => gang.put({ ...tensor, id: inputId(tensor.id) }, must(inputs.get(tensor.id), `input ${tensor.id}`))),
  );
  const bound = gang.bind(hash, {
    inputs: new Map(parameters.map(({ id }) => [id, inputId(id)])),
    outputs: new Map(outputs.map(({ id }) => [id, outputId(id)])),
    donate: parameters.map(({ id }) => inputId(id)),
  });
  const ran = gang.run(bound, { step: stepIndex(0) });
  const fetched = Promise.all(outputs.map(async ({ id }): Promise<[string, ArrayData]> => [id, await gang.fetch(outputId(id))]));
  const dropped = gang.drop(outputs.map(({ id }) => outputId(id)));
  const [, arrays] = await Promise.all([ran, fetched, dropped]);
  return new Map(arrays);
}
