import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prepareMixture } from "@lapidary/data";
import { publishSources, threeSources } from "@lapidary/data/testing/published-sources";
import { readSafetensors, writeSafetensors } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { Home, root } from "./support/cli.js";
import { flaxPython, runSuccessfully } from "./support/xla.js";

const golden = (name: string): string => join(root, "e2e/golden/stablehlo", name);

interface TrainRow {
  readonly kind: string;
  readonly step: number;
  readonly loss: number;
}

/** Runs the step of a program of configs/jax in JAX, and prints the loss of each step. */
const lossesInJax = `
import json, runpy, sys
program = runpy.run_path(sys.argv[1])
state, batch = program["state"], [program[name] for name in sys.argv[2].split(",")]
losses = []
for _ in range(int(sys.argv[3])):
    state, metrics = program["jitted"](state, *batch)
    losses.append(float(metrics["loss"]))
print(json.dumps(losses))
`;

describe("a step that JAX exported, on the pod", function () {
  this.timeout(900_000);
  let home: Home;
  const losses = (run: string): number[] => {
    const rows = readFileSync(join(home.state, "runs", run, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n");
    return rows.map((row) => JSON.parse(row) as TrainRow).flatMap(({ kind, loss }) => (kind === "train" ? [loss] : []));
  };
  const closeTo = (got: readonly number[], want: readonly number[]): void => {
    strictEqual(got.length, want.length);
    got.forEach((loss, i) =>
      ok(Math.abs(loss - ensure(want[i], "loss")) < 2e-5 * Math.abs(loss), `step ${i + 1}: ${loss}, JAX has ${want[i]}`),
    );
  };
  const expected = (name: string): number[] => JSON.parse(readFileSync(join(golden(name), "losses.json"), "utf8")) as number[];

  before(async () => {
    home = new Home();
    await home.json("up");
  });
  after(() => home.clear());

  it("twenty steps of llama_fsdp8 have the losses of JAX, and the checkpoint has the names of the leaves", async () => {
    const inputs = `inputs=${golden("llama_fsdp8/data.safetensors")}`;
    const { report } = await home.json("launch", golden("llama_fsdp8/step.loc.mlir"), "steps=20", inputs, "workers=2", "--name", "llama");
    closeTo(losses("llama"), expected("llama_fsdp8"));
    const { checkpoint, chips, mesh, metrics } = report as { checkpoint: string; chips: number; mesh: string; metrics: object };
    deepStrictEqual([chips, mesh, Object.keys(metrics)], [8, "data=8", ["loss"]]);
    const [weights, moments] = await Promise.all(
      ["model", "optimizer"].map((name) => readSafetensors(join(checkpoint, `${name}.safetensors`))),
    );
    ok(weights?.has("state['params']['blocks'][0]['down']['kernel'].value") === true);
    deepStrictEqual([...(moments?.get("state['opt'][0].count")?.data ?? [])], [20]);
  });

  it("a text without a mesh is split from outside, and params without an array are drawn by their names", async () => {
    const words = ["steps=20", `inputs=${golden("gpt_scan_remat/data.safetensors")}`, "mesh.data=4", "shard.rows=data,-"];
    await home.json("launch", golden("gpt_scan_remat/step.loc.mlir"), ...words, "--name", "gpt");
    closeTo(losses("gpt"), expected("gpt_scan_remat"));
  });

  it("a run that lost a worker has the losses of a run that did not", async () => {
    const words = ["steps=120", `inputs=${golden("llama_fsdp8/data.safetensors")}`, "workers=2", "checkpoint.every=10"];
    await home.json("launch", golden("llama_fsdp8/step.loc.mlir"), ...words, "-d", "--name", "doomed");
    for (let step = 0; step < 3; ) ({ step } = (await home.json("jobs", "get", "doomed")) as { step: number });
    const { workers } = (await home.json("jobs", "get", "doomed")) as { workers: { pid: number }[] };
    process.kill(ensure(workers[1], "worker").pid, "SIGKILL");
    await home.untilDone("doomed");
    strictEqual((await home.events("doomed")).filter(({ type }) => type === "attempt_failed").length, 1);
    closeTo(losses("doomed").slice(0, 20), expected("llama_fsdp8"));
  });

  it("rows of a data pipeline feed the argument that the job names", async () => {
    const pipeline = join(home.directory, "pipeline");
    publishSources(pipeline, threeSources(60));
    const file = join(home.directory, "mean.mlir");
    // The loss is the mean of the tokens, each times its position.
    writeFileSync(
      file,
      `module @jit_step {
  func.func public @main(%arg0: tensor<f32> {tf.aliasing_output = 0 : i32} loc("state"), %arg1: tensor<4x16xi32> loc("rows")) -> (tensor<f32> {jax.result_info = "result[0]"}, tensor<f32> {jax.result_info = "result[1]['loss']"}) {
    %0 = stablehlo.convert %arg1 : (tensor<4x16xi32>) -> tensor<4x16xf32>
    %1 = stablehlo.iota dim = 1 : tensor<4x16xf32>
    %2 = stablehlo.multiply %0, %1 : tensor<4x16xf32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %3 = stablehlo.reduce(%2 init: %cst) applies stablehlo.add across dimensions = [0, 1] : (tensor<4x16xf32>, tensor<f32>) -> tensor<f32>
    %one = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %4 = stablehlo.add %arg0, %one : tensor<f32>
    return %4, %3 : tensor<f32>, tensor<f32>
  }
}
`,
    );
    const words = [file, "steps=6", "mesh.data=4", "shard.rows=data,-", `data.pipeline=${pipeline}`, "data.held_out=0.1", "data.repeat=9"];
    await home.json("launch", ...words, "batch.rows=tokens", "checkpoint.every=2", "--name", "fed");
    const request = { pipeline, seed: 0, steps: 6, batch: 4, seq: 16, repeat: 9, heldOutFraction: 0.1 };
    const dataset = await prepareMixture(request, {
      cacheDir: join(home.directory, "datasets"),
      signal: AbortSignal.timeout(60_000),
      onProgress: () => undefined,
    });
    const expectedLosses = Array.from({ length: 6 }, (_, step) =>
      dataset.batch({ split: "train", seed: 0, step, batch: 4, seq: 16 }).tokens.reduce((sum, token, i) => sum + token * (i % 16), 0),
    );
    dataset.close();
    closeTo(losses("fed"), expectedLosses);
    const refused = async (...more: string[]): Promise<string> => (await home.run("launch", ...words, ...more)).stderr;
    match(await refused("batch.row=tokens"), /LAP_IMPORT_INPUT: the step has no argument "row"[^]*batch\.row[^]*did you mean "rows"/);
    match(await refused("batch.rows=mask"), /the mask of rows are f32\[batch, seq\], and rows is i32/);
    match(await refused(), /LAP_IMPORT_INPUT: data\.pipeline needs the arguments that its rows fill/);
  });

  it("missing integers, a changed array and an unknown name are refused before the job waits", async () => {
    const refused = async (...words: string[]): Promise<string> => {
      const { code, stderr } = await home.run("launch", golden("gpt_scan_remat/step.loc.mlir"), ...words);
      strictEqual(code, 2);
      return stderr;
    };
    match(await refused(), /LAP_IMPORT_INPUT: the integers of rows have no values[^]*tokens=N/);
    match(await refused("tokens=64", "mesh.data=4", "shard.row=data,-"), /LAP_IMPORT_SHARDING[^]*did you mean "rows"\? The batch is rows/);
    match(await refused(`inputs=${golden("mlp_sgd/data.safetensors")}`, "tokens=64"), /LAP_IMPORT_INPUT: the array has the type/);
    match(await refused("tokens=64", "loss=accuracy"), /no scalar result "accuracy"[^]*scalar results are loss, norm/);
    match(await refused("tokens=64", "batches=4"), /LAP_CONFIG_UNKNOWN_KEY/);
  });

  it("parity compares every result with JAX on the mesh of the case, and a wrong result fails", async () => {
    const result = (await home.json("parity", golden("mlp_explicit8"))) as { ok: boolean; mesh: string; results: { ok: boolean }[] };
    deepStrictEqual([result.ok, result.mesh, result.results.length], [true, "data=4,model=2", 5]);
    const changed = join(home.directory, "changed");
    cpSync(golden("mlp_explicit8"), changed, { recursive: true });
    const arrays = await readSafetensors(join(changed, "data.safetensors"));
    const out = ensure(arrays.get("out/1"), "out/1");
    out.data[3] = ensure(out.data[3], "element") * 1.001 + 1e-4;
    await writeSafetensors(join(changed, "data.safetensors"), arrays);
    const { code, stdout } = await home.run("parity", changed, "--json");
    strictEqual(code, 1);
    const { results } = JSON.parse(stdout) as { results: { ok: boolean }[] };
    deepStrictEqual(
      results.map((each) => each.ok),
      [true, false, true, true, true],
    );
  });

  it("the programs of configs/jax export steps that run with the losses of JAX", async () => {
    const python = await flaxPython();
    const directory = join(home.directory, "jax");
    cpSync(join(root, "configs/jax"), directory, { recursive: true });
    writeFileSync(join(directory, "losses.py"), lossesInJax);
    const env = { JAX_PLATFORMS: "cpu" };
    for (const [name, batch] of [
      ["plain", "images,labels"],
      ["nnx", "tokens"],
    ] as const) {
      const { stdout } = await runSuccessfully(python, ["losses.py", `${name}.py`, batch, "8"], { cwd: directory, env });
      const inputs = `inputs=${join(directory, `${name}.safetensors`)}`;
      await home.json("launch", join(directory, `${name}.mlir`), "steps=8", inputs, "--name", name);
      closeTo(losses(name), JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as number[]);
    }
    await runSuccessfully(python, ["maxtext_style.py"], { cwd: directory, env });
    await home.json("launch", join(directory, "maxtext_style.mlir"), "steps=2", "tokens=256", "--name", "maxtext");
    strictEqual(losses("maxtext").length, 2);
  });
});
