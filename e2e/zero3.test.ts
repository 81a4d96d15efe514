import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { parametersOf, sizeOf } from "@lapidary/ir";
import { buildModel } from "@lapidary/models";
import { openSession, type Session } from "@lapidary/trainer";
import { handleOf, stepIndex } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { makeMesh, meshSize } from "@lapidary/topology";
import { compileOptions, initGraph, trainState } from "@lapidary/training";
import { compile } from "@lapidary/compiler";
import { nano16 } from "./support/strategies.js";

const optimizer = { name: "adamw", lr: 1e-3, betas: [0.9, 0.95] as [number, number], eps: 1e-8, weight_decay: 0 } as const;

/** Initializes nano16 on a mesh and returns the bytes of each value that each worker stores. */
async function heldAfterInit(
  mesh: ReturnType<typeof makeMesh>,
  zero: 0 | 3,
): Promise<{ held: Readonly<Record<string, number>>[]; workers: number }> {
  const rules = { batch: ["data"], heads: ["model"], kv_heads: ["model"], mlp: ["model"], vocab: ["model"] };
  const session: Session = await openSession({ mesh, workers: 2, zero, rules, environment: process.env });
  try {
    const graph = initGraph(trainState(buildModel(nano16), optimizer), 1);
    const program = compile(graph, compileOptions({ mesh: mesh.axes, rules, zero }, graph));
    const hash = await session.group.load(program);
    const names = graph.outputs.map((o) => o.name);
    deepStrictEqual(parametersOf(graph), []);
    const bound = session.group.bind(hash, { inputs: new Map(), outputs: new Map(names.map((name) => [name, handleOf(name)])) });
    await session.group.run(bound, { step: stepIndex(0) });
    return { held: (await session.stats()).map((s) => s.values), workers: session.workers };
  } finally {
    await session.close();
  }
}

describe("ZeRO-3", function () {
  this.timeout(120_000);
  const mesh = makeMesh({ data: 16, model: 16 });
  const params = new Map(buildModel(nano16).params.map((p) => [p.name, sizeOf(p.dims) * 4]));

  it("with ZeRO-3 a worker has, per chip, 1/256 of every matrix and its moments, and 1/16 of arrays that no rule splits over model", async () => {
    const { held, workers } = await heldAfterInit(mesh, 3);
    strictEqual(workers, 2);
    const chipsPerWorker = meshSize(mesh) / workers;
    for (const values of held)
      for (const [name, whole] of params)
        for (const slot of ["params", "adam_m", "adam_v"]) {
          const bytes = ensure(values[`${slot}/${name}`], `${slot}/${name}`);
          // The chips of a worker are model × half of data. A worker stores norms once for the 16 chips of model that share them.
          if (name.includes("norm")) strictEqual(bytes, whole / workers, name);
          else strictEqual(bytes / chipsPerWorker, whole / meshSize(mesh), name);
        }
  });

  it("without ZeRO a worker has whole arrays", async () => {
    const { held } = await heldAfterInit(mesh, 0);
    for (const values of held) for (const [name, whole] of params) ok(ensure(values[`adam_m/${name}`], name) === whole, name);
  });
});
