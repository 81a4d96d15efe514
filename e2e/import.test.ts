import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "@lapidary/compiler";
import { type Graph, interpret, type Tensor, tensor } from "@lapidary/ir";
import { givenShardings, type ImportedStep, importStep, meshOfStep } from "@lapidary/stablehlo";
import { ensure } from "@lapidary/std";
import { printMesh } from "@lapidary/topology";
import { root } from "./support/cli.js";
import { readArrays, roundToType } from "./support/imported-step.js";

const golden = join(root, "e2e/golden/stablehlo");

interface Manifest {
  readonly steps: number;
  readonly mesh: readonly (readonly [string, number])[] | null;
  readonly arguments: readonly { readonly dims: readonly number[]; readonly begins?: string }[];
  readonly results: readonly {
    readonly name: string;
    readonly next?: number | null;
    readonly noise: number;
    readonly sensitivity: number;
  }[];
}

const cases = {
  mlp_sgd: "step.mlir",
  mlp_explicit8: "step.mlir",
  moe_ep8: "step.mlir",
  kv_decode: "step.mlir",
  cnn_dropout: "step.mlir",
  pipeline_pp: "step.mlir",
  gpt_adamw: "step.loc.mlir",
  gpt_scan_remat: "step.loc.mlir",
  llama_fsdp8: "step.loc.mlir",
  maxtext_tp256: "step.loc.mlir",
  moe_sort: "step.loc.mlir",
  ring_attention: "step.loc.mlir",
  moe_a2a: "step.loc.mlir",
  ppo_gae: "step.loc.mlir",
  resnet_bn: "step.loc.mlir",
} as const;

const read = (name: keyof typeof cases): ImportedStep => importStep(readFileSync(join(golden, name, cases[name]), "utf8"), cases[name]);

/** Runs the steps of a case, and compares each result with that of JAX, relative to the largest element of the result. */
function compareWithJax(name: keyof typeof cases, graph: Graph, step: ImportedStep): void {
  const manifest = JSON.parse(readFileSync(join(golden, name, "manifest.json"), "utf8")) as Manifest;
  const arrays = readArrays(join(golden, name, "data.safetensors"));
  const state = step.arguments.map(({ type }, i): Tensor => {
    const begins = manifest.arguments[i]?.begins;
    const size = type.dims.reduce((n, d) => n * d, 1);
    return tensor(type.dtype, type.dims, arrays.get(`in/${i}`) ?? new Float64Array(size).fill(begins === "ones" ? 1 : 0));
  });
  let results: Tensor[] = [];
  for (let s = 0; s < manifest.steps; s++) {
    const inputs = new Map(
      step.arguments.map(({ name: leaf, type }, i) => {
        const batch = arrays.get(`batch/${s}/${i}`);
        return [leaf, batch === undefined ? ensure(state[i], leaf) : tensor(type.dtype, type.dims, batch)];
      }),
    );
    const outputs = interpret(graph, inputs, roundToType);
    results = step.results.map((result) => ensure(outputs.get(result.name), result.name));
    manifest.results.forEach(({ next }, i) => {
      if (next !== undefined && next !== null) state[next] = ensure(results[i], "result");
    });
  }
  manifest.results.forEach((result, i) => {
    const [want, got] = [ensure(arrays.get(`out/${i}`), result.name), ensure(results[i], result.name).data];
    const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
    const distance = want.reduce((most, x, k) => Math.max(most, Math.abs(x - ensure(got[k], "element"))), 0);
    const tolerance = Math.max(1e-6, 10 * Math.max(result.noise, result.sensitivity));
    ok(distance / largest <= tolerance, `${result.name} differs by ${distance / largest}, and ${tolerance} is allowed`);
  });
}

describe("a step that JAX exported", function () {
  this.timeout(120_000);

  for (const name of Object.keys(cases) as (keyof typeof cases)[])
    it(`${name}: three steps have the results of JAX`, () => {
      const step = read(name);
      compareWithJax(name, step.graph, step);
    });

  for (const name of [
    "mlp_explicit8",
    "moe_ep8",
    "kv_decode",
    "llama_fsdp8",
    "maxtext_tp256",
    "moe_sort",
    "ring_attention",
    "ppo_gae",
  ] as const)
    it(`${name}: the compiler obeys the mesh and the shardings of the text`, () => {
      const step = read(name);
      const mesh = meshOfStep(step, name);
      const { constraints, open } = givenShardings(step, mesh, name);
      const program = compile(step.graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints, open });
      const manifest = JSON.parse(readFileSync(join(golden, name, "manifest.json"), "utf8")) as Manifest;
      strictEqual(
        printMesh(mesh),
        ensure(manifest.mesh, "mesh")
          .map(([axis, size]) => `${axis}=${size}`)
          .join(),
      );
      const sharding = new Map(program.global.values.map((value) => [value.name, ensure(value.sharding, value.name).dims]));
      for (const [leaf, wanted] of constraints) if (!open.has(leaf)) deepStrictEqual(sharding.get(leaf), wanted.dims, leaf);
    });
});
