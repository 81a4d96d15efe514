import { ok, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, type Program } from "@lapidary/compiler";
import { type Rounding, randomCase, roundingOf, withGradients } from "@lapidary/compiler/testing";
import {
  type ArrayData,
  perDeviceModule,
  fromTensor,
  outputSharding,
  readSafetensors,
  shardingConstraints,
  globalModule,
  writeSafetensors,
} from "@lapidary/interop";
import { type Graph, parametersOf, type Sharding, type TensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { firstSeed } from "@lapidary/std/testing";
import { meshSize, printAtoms } from "@lapidary/topology";
import { root } from "./support/cli.js";
import { jaxPython, runSuccessfully } from "./support/xla.js";

/** Number of random programs as per-device modules, and of those that are also global modules. Fewer of the latter, because they test Shardy and XLA. */
const wanted = { chip: 50, whole: 8 };
const devices = 8;

/** A case in the format of `run_cases.py`. Its module is in a file with the name of the case. */
function describeCase(name: string, { mesh, global }: Program, sharded: Graph): object {
  const array = (own: string, { dims, dtype }: TensorType, sharding: Sharding): object => ({
    name: own,
    dims,
    dtype,
    sharding: sharding.dims.map((atoms) => printAtoms(mesh, atoms)),
    role: "state",
  });
  return {
    name,
    text: `${name}.mlir`,
    axes: mesh.axes,
    arguments: parametersOf(global).map(({ name: own, type, sharding }) => array(own, type, ensure(sharding, own))),
    results: global.outputs.map(({ name: own, value }, i) =>
      array(own, ensure(global.values[value], own).type, outputSharding(sharded, own, ensure(sharded.outputs[i], own).value)),
    ),
  };
}

describe("random graphs on random meshes, run by XLA", function () {
  this.timeout(600_000);

  it(`${wanted.chip} of the graphs as per-device modules, and ${wanted.whole} as global modules, compute what the interpreter computes`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
    try {
      const expected = new Map<string, { readonly rounding: Rounding; readonly own: string }>();
      const inputs = new Map<string, ArrayData>();
      const cases: object[] = [];
      for (let seed = firstSeed(), made = 0; made < wanted.chip; seed++) {
        const { graph, mesh, shardings, inputs: given } = randomCase(seed);
        if (meshSize(mesh) > devices) continue;
        const step = withGradients(graph);
        const rounding = roundingOf(step, given);
        // The random numbers of Lapidary do not have a counterpart in StableHLO.
        if (rounding.undecided !== undefined || step.values.some(({ op }) => op.startsWith("rng_"))) continue;
        const program = compile(step, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        const texts = [{ kind: "chip", sharded: program.chip, text: perDeviceModule(program.chip, program.global) }];
        if (made++ < wanted.whole)
          texts.push({
            kind: "whole",
            sharded: program.global,
            text: globalModule(program.global, shardingConstraints(program.propagated)),
          });
        for (const { kind, sharded, text } of texts) {
          const name = `${seed}-${kind}`;
          writeFileSync(join(directory, `${name}.mlir`), text);
          cases.push(describeCase(name, program, sharded));
          for (const [own, tensor] of given) inputs.set(`${name}/${own}`, fromTensor(tensor));
          for (const own of rounding.exact.keys()) expected.set(`${name}/${own}`, { rounding, own });
        }
      }
      writeFileSync(join(directory, "cases.json"), JSON.stringify(cases));
      await writeSafetensors(join(directory, "inputs.safetensors"), inputs);
      await runSuccessfully(await jaxPython(), [join(root, "e2e/support/run_cases.py"), directory]);
      const actual = await readSafetensors(join(directory, "outputs.safetensors"));
      strictEqual(actual.size, expected.size);
      for (const [name, { rounding, own }] of expected) expectWithin(ensure(actual.get(name), name), rounding, own, name);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** XLA's fused sums and its own exp and tanh round a little more than ours. */
const slack = 4;

function expectWithin(actual: ArrayData, { exact, bounds }: Rounding, own: string, name: string): void {
  const [want, bound] = [ensure(exact.get(own), own).data, ensure(bounds.get(own), own)];
  want.forEach((v, i) =>
    ok(
      Math.abs((actual.data[i] ?? Number.NaN) - v) <= slack * (bound[i] ?? 0),
      `seed ${name}[${i}] is ${actual.data[i]} for ${v} ± ${bound[i]}`,
    ),
  );
}
