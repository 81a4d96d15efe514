import { ok, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, gradients } from "@lapidary/compiler";
import { randomCase } from "@lapidary/compiler/testing";
import {
  type ArrayData,
  chipModule,
  fromTensor,
  outputSharding,
  readSafetensors,
  statedShardings,
  wholeModule,
  writeSafetensors,
} from "@lapidary/interop";
import { type Graph, GraphBuilder, interpret, parametersOf, type Sharding, type Tensor, type TensorType } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { type Mesh, meshSize, printAtoms } from "@lapidary/topology";
import { root } from "./support/cli.js";
import { jaxPython, runWell } from "./support/xla.js";

const wanted = 50;
const devices = 8;

/** The graph with the gradients of its loss as further outputs. */
function withGradients(graph: Graph): Graph {
  const g = new GraphBuilder("random_step");
  for (const value of graph.values) g.push(value.op, value.inputs, value.attrs, value.type, value);
  for (const { name, value } of graph.outputs) g.output(name, g.get(value));
  const parameters = parametersOf(graph).map(({ id }) => g.get(id));
  const loss = must(
    graph.outputs.find(({ name }) => name === "loss"),
    "loss",
  );
  gradients(g, g.get(loss.value), parameters).forEach((grad, i) => g.output(`grad_${i}`, grad));
  return g.finish();
}

const described = (mesh: Mesh, name: string, { dims, dtype }: TensorType, sharding: Sharding): object => ({
  name,
  dims,
  dtype,
  sharding: sharding.dims.map((atoms) => printAtoms(mesh, atoms)),
  role: "state",
});

describe("random graphs on random meshes, run by XLA", function () {
  this.timeout(600_000);

  it(`${wanted} of them mean, as per-chip text and as whole text, what the interpreter says`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
    try {
      const expected = new Map<string, Tensor>();
      const inputs = new Map<string, ArrayData>();
      const cases: object[] = [];
      for (let seed = 1; cases.length < 2 * wanted; seed++) {
        const { graph, mesh, shardings, inputs: given } = randomCase(seed);
        if (meshSize(mesh) > devices) continue;
        const step = withGradients(graph);
        const program = compile(step, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        const texts = {
          chip: chipModule(program.chip, program.global),
          whole: wholeModule(program.global, statedShardings(program.propagated)),
        };
        for (const [kind, text] of Object.entries(texts)) {
          const name = `${seed}-${kind}`;
          writeFileSync(join(directory, `${name}.mlir`), text);
          cases.push({
            name,
            text: `${name}.mlir`,
            axes: mesh.axes,
            arguments: parametersOf(program.global).map(({ name: own, type, sharding }) => described(mesh, own, type, must(sharding, own))),
            results: program.global.outputs.map(({ name: own, value }) =>
              described(
                mesh,
                own,
                must(program.global.values[value], own).type,
                outputSharding(
                  kind === "chip" ? program.chip : program.global,
                  own,
                  must(
                    program[kind === "chip" ? "chip" : "global"].outputs.find((o) => o.name === own),
                    own,
                  ).value,
                ),
              ),
            ),
          });
          for (const [own, tensor] of given) inputs.set(`${name}/${own}`, fromTensor(tensor));
          for (const [own, tensor] of interpret(step, given)) expected.set(`${name}/${own}`, tensor);
        }
      }
      writeFileSync(join(directory, "cases.json"), JSON.stringify(cases));
      await writeSafetensors(join(directory, "inputs.safetensors"), inputs);
      await runWell(await jaxPython(), [join(root, "e2e/support/run_cases.py"), directory]);
      const actual = await readSafetensors(join(directory, "outputs.safetensors"));
      strictEqual(actual.size, expected.size);
      for (const [name, want] of expected) expectClose(must(actual.get(name), name), want, name);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** Single against double precision: relative to the largest element of the array. */
function expectClose(actual: ArrayData, want: Tensor, name: string): void {
  const scale = want.data.reduce((max, v) => Math.max(max, Math.abs(v)), 1);
  want.data.forEach((v, i) =>
    ok(Math.abs((actual.data[i] ?? Number.NaN) - v) <= 2e-5 * scale, `seed ${name}[${i}] is ${actual.data[i]} for ${v}`),
  );
}
