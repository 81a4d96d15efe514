import type { Graph } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { ArrayData } from "@lapidary/worker/protocol";
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
  const inputId = (name: string): string => `once/in/${name}`;
  const outputId = (name: string): string => `once/out/${name}`;
  await Promise.all(parameters.map(({ name, sharding }) => gang.put(inputId(name), must(inputs.get(name), `input ${name}`), sharding)));
  const bound = gang.bind(hash, {
    inputs: new Map(parameters.map(({ name }) => [name, inputId(name)])),
    outputs: new Map(outputs.map(({ name }) => [name, outputId(name)])),
    donate: parameters.map(({ name }) => inputId(name)),
  });
  const ran = gang.run(bound, { step: 0 });
  const fetched = Promise.all(outputs.map(async ({ name }): Promise<[string, ArrayData]> => [name, await gang.fetch(outputId(name))]));
  const dropped = gang.drop(outputs.map(({ name }) => outputId(name)));
  const [, arrays] = await Promise.all([ran, fetched, dropped]);
  return new Map(arrays);
}
