/**
 * Tries an op of one operand in the project of the current directory, and prints the results as JSON:
 *
 *     node try-op.mjs logistic
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const name = /** @type {import("@lapidary/ir").UnaryName} */ (process.argv[2]);
const built = (/** @type {string} */ path) => import(pathToFileURL(join(process.cwd(), "packages", path)).href);
/** @type {typeof import("@lapidary/ir")} */
const { GraphBuilder, interpret, parseGraph, printGraph, tensor, tensorType, unaryOps, verifyGraph } = await built("ir/dist/index.js");
/** @type {typeof import("@lapidary/compiler")} */
const { compile, gradients } = await built("compiler/dist/index.js");
/** @type {typeof import("@lapidary/interop")} */
const { globalModule, perDeviceModule, shardingConstraints } = await built("interop/dist/index.js");
/** @type {typeof import("../../packages/executor/dist/device/device.js")} */
const { openDevice } = await built("executor/dist/device/device.js");
/** @type {typeof import("../../packages/executor/dist/execution/stacked.js")} */
const { stackedExecutor } = await built("executor/dist/execution/stacked.js");
/** @type {typeof import("@lapidary/protocol")} */
const { arrayOf, workerRank } = await built("protocol/dist/index.js");
/** @type {typeof import("@lapidary/topology")} */
const { makeMesh, makeWorkerGrid } = await built("topology/dist/index.js");
/** @type {typeof import("@lapidary/std")} */
const { ensure, systemClock } = await built("std/dist/index.js");
const { runChips } = await built("compiler/dist/testing/spmd-interpreter.js");

/** @typedef {import("@lapidary/ir").Tensor} Tensor */

const dims = [8, 12];
const [low, high] = unaryOps[name].domain;
const x = tensor(
  "f32",
  dims,
  Float64Array.from({ length: 96 }, (_, i) => Math.fround(low + ((high - low) * (i + 0.5)) / 96)),
);
const inputs = new Map([["x", x]]);

/** y = −op(x), so that the op is not alone; and the gradient of the sum of y·y. */
function step() {
  const g = new GraphBuilder("step");
  const operand = g.parameter("x", tensorType("f32", dims), ["batch", "embed"], "param");
  const y = g.negate(g.op(name, [operand], {}));
  const loss = g.reduce(g.square(y), [0, 1], "sum");
  g.output("y", y);
  g.output("loss", loss);
  gradients(g, loss, [operand]).forEach((grad) => g.output("grad", grad));
  return g.finish();
}

/** @param {ReadonlyMap<string, Tensor>} a @param {ReadonlyMap<string, Tensor>} b the largest difference of an element, relative to 1 or its size */
function difference(a, b) {
  let worst = 0;
  for (const [output, { data }] of a) {
    const other = ensure(b.get(output), output).data;
    data.forEach((value, i) => {
      const distance = Math.abs(value - (other[i] ?? NaN)) / Math.max(1, Math.abs(value));
      worst = Math.max(worst, distance);
    });
  }
  return worst;
}

const graph = step();
verifyGraph(graph);
const meaning = interpret(graph, inputs);

/** The largest difference of an element of the gradient from a central difference. */
function gradientError() {
  const h = 1e-6;
  const lossAt = (/** @type {number} */ element, /** @type {number} */ by) => {
    const data = x.data.slice();
    data[element] = (data[element] ?? 0) + by;
    return ensure(interpret(graph, new Map([["x", { ...x, data }]])).get("loss")?.data[0], "loss");
  };
  const grad = ensure(meaning.get("grad"), "grad").data;
  return Math.max(...[...grad].map((value, i) => Math.abs(value - (lossAt(i, h) - lossAt(i, -h)) / (2 * h))));
}

const mesh = makeMesh({ data: 2, model: 2 });
const program = compile(graph, { mesh, rules: { batch: "data", embed: "model" }, zero: { stage: 0, axes: [] } });

/** Runs the program of all chips in one worker. @param {boolean} fuse */
async function run(fuse) {
  const device = await openDevice();
  const executor = stackedExecutor({
    device,
    mesh,
    grid: makeWorkerGrid(mesh, 1),
    worker: workerRank(0),
    peers: undefined,
    numerics: "f32",
    clock: systemClock,
    fuse,
  });
  const loaded = executor.load(executor.prepare(program.chip));
  const held = loaded.tensors.parameters.map((tensor) => executor.put(tensor, arrayOf("f32", dims, Float32Array.from(x.data))));
  const calls = device.fused?.calls ?? 0;
  const outputs = await loaded.run(held, [true], "run");
  const results = new Map(
    loaded.tensors.outputs.map((output, i) => {
      const block = executor.fetch(ensure(outputs[i], output.id), output);
      return [output.id, tensor("f32", block.dims, Float64Array.from(block.data))];
    }),
  );
  loaded.dispose();
  return { difference: difference(meaning, results), fusedCalls: (device.fused?.calls ?? 0) - calls, hasFused: device.fused !== undefined };
}

/** JSON has no NaN and no infinity: a test would read null, which is less than any tolerance. @param {string} _key @param {unknown} value */
const finite = (_key, value) => (typeof value === "number" && !Number.isFinite(value) ? Number.MAX_VALUE : value);

const text = printGraph(graph);
process.stdout.write(
  JSON.stringify(
    {
      text,
      isParsed: printGraph(parseGraph(text)) === text,
      chipDims: program.chip.values.filter(({ op }) => op === name).map(({ type }) => type.dims),
      chipDifference: difference(meaning, runChips(program.chip, inputs)),
      gradientError: gradientError(),
      unfused: await run(false),
      fused: await run(true),
      stablehlo: [globalModule(program.global, shardingConstraints(program.propagated)), perDeviceModule(program.chip, program.global)],
    },
    finite,
  ),
);
