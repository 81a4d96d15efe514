import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, type Program } from "@lapidary/compiler";
import { GraphBuilder, tensorType } from "@lapidary/ir";
import { LapidaryError, normalAt } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { f32Array } from "../array-data.js";
import { readSafetensors, writeSafetensors } from "../safetensors.js";
import { ZarrFolder } from "../zarr.js";
import { readXlaCheckpoint } from "./checkpoint.js";
import { compareWith, parseBackendOutput } from "./compare.js";
import { jaxVersion, orbaxVersion, type XlaExport, writeXlaExport } from "./export.js";
import { initSpecsOf } from "./initial-state.js";
import { jobSet, type LaunchTarget, objectName, slurmScript } from "./launch-files.js";
import type { XlaManifest } from "./manifest.js";

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const isError =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === code;

function program(): Program {
  const g = new GraphBuilder("step");
  const w = g.parameter("params/w", tensorType("f32", [8, 4]), ["mlp", null], "param");
  const x = g.parameter("tokens", tensorType("i32", [4, 8]), ["batch", null], "batch");
  g.output("params/w", g.subtract(w, g.scale(w, 0.1)));
  g.output("loss", g.named("loss", g.reduce(g.convert(x, "f32"), [0, 1], "sum"), [], "metric"));
  return compile(g.finish(), {
    mesh: makeMesh({ data: 2, model: 4 }),
    rules: { batch: "data", mlp: "model" },
    zero: { stage: 0, axes: [] },
  });
}

const launch: LaunchTarget = {
  name: "job",
  slices: 2,
  topology: "16x16",
  chipsPerSlice: 256,
  jaxVersion,
  orbaxVersion,
  checkpointEvery: 50,
};
const job = (changes: Partial<XlaExport> = {}): XlaExport => ({
  program: program(),
  name: "job",
  numerics: "f32",
  dcnAxes: [],
  steps: 3,
  states: new Map([["params/w", { kind: "normal", key: 7, scale: 0.5 }]]),
  initialState: "values",
  data: { kind: "none" },
  model: {},
  modelFiles: new Map([["tokenizer.json", "{}"]]),
  launch,
  compileFiles: new Map(),
  ...changes,
});
const manifestIn = async (directory: string): Promise<XlaManifest> =>
  JSON.parse(await readFile(join(directory, "manifest.json"), "utf8")) as XlaManifest;

describe("an export for XLA", () => {
  it("the manifest lists dims, sharding, role and initial value of every argument, and every result", () =>
    inDirectory(async (directory) => {
      const { files } = await writeXlaExport(directory, job());
      const manifest = await manifestIn(directory);
      deepStrictEqual(manifest.arguments, [
        {
          name: "params/w",
          dims: [8, 4],
          dtype: "f32",
          sharding: [["model"], []],
          role: "state",
          initial: { kind: "file", file: "state.safetensors", tensor: "params/w" },
        },
        { name: "tokens", dims: [4, 8], dtype: "i32", sharding: [["data"], []], role: "batch" },
      ]);
      deepStrictEqual(
        manifest.results.map(({ name, role }) => [name, role]),
        [
          ["params/w", "state"],
          ["loss", "metric"],
        ],
      );
      deepStrictEqual(
        [manifest.jax, manifest.extra_files, manifest.mesh.axes],
        [
          jaxVersion,
          ["model/tokenizer.json"],
          [
            { name: "data", size: 2 },
            { name: "model", size: 4 },
          ],
        ],
      );
      for (const file of files) ok((await readFile(join(directory, file))).length >= 0, file);
      ok(files.includes("run.py") && files.includes("lapidary_xla/engine.py") && files.at(-1) === "manifest.json");
    }));

  it("an export contains every file of the runner's package", () =>
    inDirectory(async (directory) => {
      const { files } = await writeXlaExport(directory, job());
      const source = (await readdir(new URL("../../assets/xla/lapidary_xla/", import.meta.url))).filter((name) => name.endsWith(".py"));
      deepStrictEqual(files.filter((name) => name.startsWith("lapidary_xla/")).sort(), source.map((name) => `lapidary_xla/${name}`).sort());
    }));

  it("an export stores initial states as values or as init specs, and copies files with other states", () =>
    inDirectory(async (directory) => {
      await writeXlaExport(join(directory, "a"), job());
      const written = (await readSafetensors(join(directory, "a/state.safetensors"))).get("params/w");
      deepStrictEqual(
        [...(written?.data ?? [])],
        Array.from({ length: 32 }, (_, i) => Math.fround(normalAt(7, i) * 0.5)),
      );
      await writeXlaExport(join(directory, "b"), job({ initialState: "init-spec" }));
      deepStrictEqual((await manifestIn(join(directory, "b"))).arguments[0]?.initial, { kind: "normal", key: 7, scale: 0.5 });
      const path = join(directory, "model.safetensors");
      await writeSafetensors(path, new Map([["w", f32Array([8, 4], new Float32Array(32).fill(2))]]));
      await writeXlaExport(join(directory, "c"), job({ states: new Map([["params/w", { kind: "copy", path, tensor: "w" }]]) }));
      deepStrictEqual((await manifestIn(join(directory, "c"))).arguments[0]?.initial, {
        kind: "file",
        file: "init/0-model.safetensors",
        tensor: "w",
      });
      deepStrictEqual((await readSafetensors(join(directory, "c/init/0-model.safetensors"))).get("w")?.data[0], 2);
    }));

  it("an export does not change a directory that is not an export", () =>
    inDirectory(async (directory) => {
      await writeFile(join(directory, "mine.txt"), "");
      await rejects(writeXlaExport(directory, job()), isError("LAP_EXPORT_OUTPUT"));
      await rejects(writeXlaExport(join(directory, "mine.txt"), job()), isError("LAP_EXPORT_OUTPUT"));
    }));

  it("initSpecsOf returns the init spec of drawn states, and rejects other states", () => {
    const g = new GraphBuilder("init");
    g.output("w", g.rngNormal([4], 3, 0.1));
    g.output("m", g.splat(0, tensorType("f32", [4])));
    g.output("norm", g.splat(1, tensorType("f32", [4])));
    deepStrictEqual(
      [...initSpecsOf(g.finish())],
      [
        ["w", { kind: "normal", key: 3, scale: 0.1 }],
        ["m", { kind: "zeros" }],
        ["norm", { kind: "ones" }],
      ],
    );
    g.output("other", g.splat(2, tensorType("f32", [4])));
    try {
      initSpecsOf(g.finish());
      ok(false, "it must be rejected");
    } catch (error) {
      ok(isError("LAP_EXPORT_INIT")(error));
    }
  });
});

describe("launch files", () => {
  it("a JobSet requests one pod per host and one job per slice", () => {
    const text = jobSet(launch);
    for (const wanted of [
      "replicas: 2",
      "parallelism: 64",
      "completions: 64",
      "gke-tpu-topology: 16x16",
      "google.com/tpu: 4",
      `jax[tpu]==${jaxVersion}`,
    ])
      ok(text.includes(wanted), wanted);
    const small = jobSet({ ...launch, slices: 1, topology: "4x2", chipsPerSlice: 8 });
    for (const wanted of ["replicas: 1", "parallelism: 1", "gke-tpu-topology: 2x4", "google.com/tpu: 8"])
      ok(small.includes(wanted), wanted);
    strictEqual(small.includes("v5e has no slice"), false);
    match(jobSet({ ...launch, topology: "3x5", chipsPerSlice: 15 }), /# v5e has no slice of 3x5/);
  });

  it("a Slurm script requests one process per GPU", () => {
    const text = slurmScript(launch);
    for (const wanted of ["--nodes=64", "--ntasks=512", "--ntasks-per-node=8", "--checkpoint-every 50"]) ok(text.includes(wanted), wanted);
    ok(slurmScript({ ...launch, slices: 1, chipsPerSlice: 4 }).includes("--nodes=1\n#SBATCH --ntasks=4\n#SBATCH --ntasks-per-node=4"));
  });

  it("objectName returns valid names of Kubernetes objects", () => {
    deepStrictEqual(["My_Job.v2", "--", "x".repeat(60)].map(objectName), ["my-job-v2", "job", "x".repeat(40)]);
  });
});

describe("checkpoints of the runner", () => {
  it("a Zarr checkpoint is read chunk by chunk, also if the last chunk extends beyond the array", () =>
    inDirectory(async (directory) => {
      const array = join(directory, "orbax/params/w");
      await mkdir(array, { recursive: true });
      const header = {
        zarr_format: 2,
        shape: [3, 4],
        chunks: [2, 4],
        dtype: "<f4",
        order: "C",
        compressor: null,
        filters: null,
        fill_value: null,
      };
      await writeFile(join(array, ".zarray"), JSON.stringify(header));
      await writeFile(join(array, "0.0"), new Uint8Array(Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7]).buffer));
      await writeFile(join(array, "1.0"), new Uint8Array(Float32Array.from([8, 9, 10, 11, -1, -1, -1, -1]).buffer));
      await writeFile(join(directory, "train_state.json"), JSON.stringify({ run: "x", step: 4, time: 1 }));
      const { step, states } = await readXlaCheckpoint(directory);
      deepStrictEqual([step, [...states.keys()]], [4, ["params/w", "step"]]);
      deepStrictEqual(
        states.get("params/w"),
        f32Array(
          [3, 4],
          Array.from({ length: 12 }, (_, i) => i),
        ),
      );

      await writeFile(join(array, "1.0"), new Uint8Array(4));
      await rejects(readXlaCheckpoint(directory), isError("LAP_CHECKPOINT_ZARR"));
      await writeFile(join(array, ".zarray"), JSON.stringify({ ...header, compressor: { id: "zstd" } }));
      await rejects(ZarrFolder.open(join(directory, "orbax")), isError("LAP_CHECKPOINT_ZARR"));
      await writeFile(join(directory, "train_state.json"), "{");
      await rejects(readXlaCheckpoint(directory), isError("LAP_CHECKPOINT_STATE"));
    }));
});

describe("comparison", () => {
  it("compareWith returns the traffic of both sides, and the reason of each sharding that differs", () => {
    const own = program();
    const loss = own.global.values.find(({ name }) => name === "loss");
    const converted = own.global.values.find(({ op }) => op === "convert");
    const output = {
      collectives: [
        { op: "all_reduce", axes: ["data"], bytes: 40, name: "loss" },
        { op: "all_reduce", axes: ["data"], bytes: 60, name: "other" },
      ],
      shardings: { [String(loss?.id)]: [], [String(converted?.id)]: [[], ["model"]] },
    };
    const { collectives, shardings, ratio } = compareWith("shardy", own, parseBackendOutput(JSON.stringify(output)));
    deepStrictEqual(collectives, [{ op: "all_reduce", axis: "data", ours: { count: 1, bytes: 4 }, theirs: { count: 2, bytes: 100 } }]);
    strictEqual(ratio, 0.04);
    deepStrictEqual(shardings, {
      compared: 2,
      differences: [
        {
          id: converted?.id,
          name: "convert",
          op: "convert",
          ours: "[data, -]",
          theirs: "[-, model]",
          reason: "dim 0 over data by rule batch → data",
        },
      ],
    });
  });
});
