import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { readXlaCheckpoint } from "@lapidary/interop";
import { hash32, ensure, normalAt } from "@lapidary/std";
import { Home, root } from "./support/cli.js";
import { schemaErrors } from "./support/crd.js";
import { jobSetSchema } from "./support/jobset-schema.js";
import { jaxPython, lossesOf, run, runExport, runSuccessfully } from "./support/xla.js";

// The parser of the command line, because the root does not depend on one.
const yaml = createRequire(join(root, "packages/cli/package.json"))("yaml") as { parse(text: string): unknown };

/** The code, place and remedy of an error on stderr. */
function expectError(ended: { code: number | null; stdout: string; stderr: string }, exit: number, code: string, remedy: RegExp): void {
  deepStrictEqual([ended.code, ended.stdout], [exit, ""], ended.stderr);
  match(ended.stderr, new RegExp(`error ${code}: `));
  match(/remedy: (.*)/.exec(ended.stderr)?.[1] ?? "", remedy);
}

describe("an export", function () {
  this.timeout(300_000);
  const home = new Home();
  const exported = join(home.directory, "export");
  let python = "";

  before(async () => {
    python = await jaxPython();
    await home.json("export", "tiny.yaml", "-o", "export");
  });
  after(() => home.clear());

  it("an export starts from the same numbers, stored or drawn from the recipe, and reads the same rows", async () => {
    await home.json("export", "tiny.yaml", "-o", "init-spec", "--state", "init-spec");
    const [written, drawn] = await Promise.all(
      ["export", "init-spec"].map(async (name) =>
        lossesOf(await runExport(python, join(home.directory, name), "--text", "chip", "--steps", "2")),
      ),
    );
    deepStrictEqual(written, drawn);
    deepStrictEqual(
      [exported, join(home.directory, "init-spec")].map((directory) =>
        readFileSync(join(directory, "manifest.json"), "utf8").includes('"normal"'),
      ),
      [false, true],
    );
  });

  it("the Python program draws the random numbers of Lapidary", async () => {
    const script =
      "import json, numpy as np; from lapidary_xla.numbers import hash32, normal; print(json.dumps([hash32(7, np.arange(2**32 - 50, 2**32, dtype=np.uint32)).tolist(), normal(-5, np.arange(3000), 0.5).tolist(), normal(9, np.arange(2**33, 2**33 + 9), 1).tolist()]))";
    const { stdout } = await runSuccessfully(python, ["-c", script], { cwd: exported });
    const [hashes, normals, far] = JSON.parse(stdout) as [number[], number[], number[]];
    deepStrictEqual(
      hashes,
      Array.from({ length: 50 }, (_, i) => hash32(7, 2 ** 32 - 50 + i)),
    );
    const close = (actual: readonly number[], key: number, scale: number, first: number): void => {
      const off = actual.filter((x, i) => x !== Math.fround(normalAt(key, first + i) * scale)).length;
      // The last bit may differ between C libraries.
      ok(off <= 1, `${off} of ${actual.length} differ`);
    };
    close(normals, -5, 0.5, 0);
    close(far, 9, 1, 2 ** 33);
  });

  it("the Python program stores a stack of stages and repeats as the layers in both formats, and reads it back onto its chips", async () => {
    const script = `
import json, sys
from pathlib import Path
import jax, numpy as np
from lapidary_xla import checkpoint, manifest
from lapidary_xla.layout import Layout
from lapidary_xla.state import place
names = [f"params/model.layers.{i}.w" for i in (0, 2, 1, 3)]
arrays = (manifest.Array("params/stack", (2, 2, 6), "f32", (("stage",), (), ("model",)), "state", None, tuple(names)), manifest.Array("step", (), "f32", (), "state"))
axes = (("stage", 2), ("model", 3))
m = manifest.Manifest(Path("."), "x", "", {}, axes, (), arrays, arrays, 1, {}, {}, ())
layout = Layout(axes, jax.devices())
whole = np.arange(24, dtype=np.float32).reshape(2, 2, 6)
states = {"params/stack": place(layout, arrays[0], lambda index: whole[index]), "step": place(layout, arrays[1], lambda index: np.float32(7))}
found = {}
for form in ("safetensors", "orbax"):
    directory = Path(sys.argv[1]) / form
    directory.mkdir()
    checkpoint.save(m, directory, 7, states, form, 1)
    step, back = checkpoint.restore(m, layout, checkpoint.find(directory, "latest"))
    found[form] = [step, np.array_equal(back["params/stack"], whole), back["params/stack"].sharding == states["params/stack"].sharding]
print(json.dumps(found))
`;
    const directory = mkdtempSync(join(tmpdir(), "lapidary-stacks-"));
    try {
      const env = { JAX_PLATFORMS: "cpu", XLA_FLAGS: "--xla_force_host_platform_device_count=6" };
      const { stdout } = await runSuccessfully(python, ["-c", script, directory], { cwd: exported, env });
      deepStrictEqual(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""), { safetensors: [7, true, true], orbax: [7, true, true] });
      const layer = (i: number): number[] => Array.from({ length: 6 }, (_, at) => 6 * i + at);
      const { states: inFiles } = await readXlaCheckpoint(join(directory, "safetensors/step-7"));
      const { states: inFolder } = await readXlaCheckpoint(join(directory, "orbax/step-7"));
      for (const states of [inFiles, inFolder])
        deepStrictEqual(
          [0, 1, 2, 3].map((i) => [...(states.get(`params/model.layers.${i}.w`)?.data ?? [])]),
          [layer(0), layer(2), layer(1), layer(3)],
        );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("an export reports mistakes and their remedies before it calls XLA", async () => {
    expectError(await runExport(python, exported, "--devices", "3"), 4, "LAP_XLA_DEVICES", /--devices 4/);
    expectError(await runExport(python, exported, "--restore", "latest"), 102, "LAP_XLA_CHECKPOINT", /without --restore/);
    expectError(await runExport(python, exported, "--restore", "nowhere"), 2, "LAP_XLA_FILE", /complete checkpoint/);
    const damaged = join(home.directory, "damaged");
    const damage = async (name: string, change: (text: string) => string | undefined): Promise<void> => {
      rmSync(damaged, { recursive: true, force: true });
      await runSuccessfully("cp", ["-r", exported, damaged]);
      const text = change(readFileSync(join(damaged, name), "latin1"));
      if (text === undefined) rmSync(join(damaged, name));
      else writeFileSync(join(damaged, name), text, "latin1");
    };
    await damage("chip.mlir", () => undefined);
    expectError(await runExport(python, damaged, "--text", "chip"), 2, "LAP_XLA_FILE", /export the job again/);
    await damage("whole.mlir", (text) => text.replace("stablehlo.tanh", "stablehlo.tan_h"));
    expectError(await runExport(python, damaged), 2, "LAP_XLA_TEXT", /StableHLO/);
    await damage("manifest.json", (text) => text.replace('"dims": [\n    300,', '"dims": [\n    308,'));
    expectError(await runExport(python, damaged), 2, "LAP_XLA_TEXT", /do not belong together/);
    await damage("state.safetensors", (text) => text.slice(0, 5000));
    expectError(await runExport(python, damaged), 2, "LAP_XLA_SAFETENSORS", /copy it again/);
    await damage("tokens.bin", (text) => text.slice(2));
    expectError(await runExport(python, damaged), 2, "LAP_XLA_TOKENS", /copy it again/);
    await damage("manifest.json", (text) => text.replace('"version": 1', '"version": 2'));
    expectError(await runExport(python, damaged), 2, "LAP_XLA_MANIFEST", /export the job again/);
  });

  it("an export rejects a JAX of another version, unless an option allows it", async () => {
    const other = join(home.directory, "other");
    mkdirSync(join(other, "jax-0.4.0.dist-info"), { recursive: true });
    writeFileSync(join(other, "jax-0.4.0.dist-info/METADATA"), "Metadata-Version: 2.1\nName: jax\nVersion: 0.4.0\n");
    const started = (...args: string[]): ReturnType<typeof run> =>
      run(python, [join(exported, "run.py"), "--check", ...args], { env: { PYTHONPATH: other } });
    expectError(await started(), 2, "LAP_XLA_JAX", /pip install jax==0\.10\.2.*--any-jax/);
    const { code, stderr } = await started("--any-jax");
    deepStrictEqual([code, /warning: jax is 0\.4\.0/.test(stderr), /chip\.mlir verified/.test(stderr)], [0, true, true]);
  });

  it("an export finds the environment with the pinned JAX if the interpreter has none, unless an option forbids it", async () => {
    // An interpreter without packages.
    const bare = join(home.directory, "bare");
    await runSuccessfully("python3", ["-m", "venv", "--without-pip", bare]);
    const check = [join(exported, "run.py"), "--check"];
    match((await runSuccessfully(join(bare, "bin/python"), check)).stderr, /chip\.mlir verified/);
    expectError(await run(join(bare, "bin/python"), [...check, "--no-install"]), 2, "LAP_XLA_JAX", /pip install jax==/);
  });

  it("an export overwrites an earlier export, and no other directory", async () => {
    await home.json("export", "tiny.yaml", "-o", "export");
    mkdirSync(join(home.directory, "mine"));
    writeFileSync(join(home.directory, "mine/notes.txt"), "mine");
    const { code, stderr } = await home.run("export", "tiny.yaml", "-o", "mine");
    strictEqual(code, 2);
    match(stderr, /LAP_EXPORT_OUTPUT/);
  });

  it("an export has a JobSet that fits the JobSet schema, with a pod for each host, and a batch script that shows its commands", async () => {
    const jobSet: unknown = yaml.parse(readFileSync(join(exported, "jobset.yaml"), "utf8"));
    deepStrictEqual(schemaErrors(jobSetSchema, jobSet), []);
    const script = join(exported, "job.sbatch");
    await runSuccessfully("bash", ["-n", script]);
    const { stdout, stderr } = await runSuccessfully("bash", [script], { env: { DRY_RUN: "1", PYTHON: python } });
    match(stderr, /whole\.mlir verified/);
    match(stdout, /^srun .*run\.py --text whole .*--distributed/m);
    // On a cluster, srun starts the processes. One process is sufficient to test the command.
    writeFileSync(join(home.directory, "srun"), '#!/bin/bash\nshift\necho "would run $*"\n', { mode: 0o755 });
    const path = `${home.directory}${delimiter}${process.env["PATH"] ?? ""}`;
    match((await runSuccessfully("bash", [script], { env: { PYTHON: python, PATH: path } })).stdout, /^would run .*--resume/m);
  });
});

describe("exports of the published Gemmas", function () {
  this.timeout(300_000);
  for (const [name, devices, slices] of [
    ["gemma-2b", 512, 2],
    ["gemma-7b", 4096, 16],
  ] as const)
    it(`both modules of ${name} parse and verify with the dialects of StableHLO and Shardy`, async () => {
      const directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
      const home = new Home();
      try {
        const written = await home.json("export", join(root, `configs/jobs/${name}.yaml`), "-o", directory, "--no-data");
        strictEqual(written["chips"], devices);
        const { stderr } = await runSuccessfully(await jaxPython(), [join(directory, "run.py"), "--check"]);
        match(stderr, /whole\.mlir verified\n.*chip\.mlir verified/);
        const jobSet = yaml.parse(readFileSync(join(directory, "jobset.yaml"), "utf8")) as {
          spec: { replicatedJobs: { replicas: number }[] };
        };
        deepStrictEqual(schemaErrors(jobSetSchema, jobSet), []);
        strictEqual(ensure(jobSet.spec.replicatedJobs[0], "slices").replicas, slices);
      } finally {
        await home.clear();
        rmSync(directory, { recursive: true });
      }
    });
});
