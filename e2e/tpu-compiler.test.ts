import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { compile } from "@lapidary/compiler";
import { parseTpuResult, shardingConstraints, tpuScript, globalModule } from "@lapidary/interop";
import { GraphBuilder, tensorType } from "@lapidary/ir";
import { makeMesh } from "@lapidary/topology";
import { Home, root } from "./support/cli.js";
import { tpuPython } from "./support/xla.js";

const execute = promisify(execFile);

interface Report {
  readonly hbm_bytes: { readonly arguments: number; readonly temporary: number; readonly peak: number };
  readonly fits: boolean;
  readonly cached: boolean;
  readonly plan_hbm_bytes_peak: number;
  readonly collectives: readonly { readonly op: string; readonly axis: string; readonly count: number; readonly plan_count: number }[];
  readonly cycles: readonly { readonly name: string; readonly phase: string; readonly xla: number; readonly plan: number }[];
}

describe("Google's TPU compiler", function () {
  this.timeout(600_000);
  let home: Home;
  let python: string;
  before(async () => {
    home = new Home();
    python = await tpuPython();
  });
  after(() => home.clear());

  const compileJob = async (...args: string[]): Promise<Report> =>
    (await home.json("compile", join(root, "configs/jobs/nano16.yaml"), ...args)) as unknown as Report;

  it("the TPU compiler compiles both modules of a job, and the report has HBM, collectives and cycles next to our plan", async () => {
    for (const text of ["chip", "whole"]) {
      const report = await compileJob("--text", text);
      assert.equal(report.fits, true);
      const { arguments: held, temporary, peak } = report.hbm_bytes;
      assert.ok(held > 50_000 && temporary > 0 && peak >= held + temporary, JSON.stringify(report.hbm_bytes));
      assert.ok(report.plan_hbm_bytes_peak > held);
      const parts = report.cycles.filter(({ xla, plan }) => xla > 0 && plan > 0).map(({ name, phase }) => `${name} ${phase}`);
      for (const part of ["layers.*.attn forward", "layers.*.attn backward", "layers.*.mlp backward", "update update"])
        assert.ok(parts.includes(part), `${text}: both sides have ${part}, in ${parts.join(", ")}`);
    }
  });

  it("the report counts each collective once, although one that overlaps kernels appears in several computations", async () => {
    const { collectives } = await compileJob("--text", "chip");
    const row = (op: string, axis: string): { count: number; plan_count: number } | undefined =>
      collectives.find((one) => one.op === op && one.axis === axis);
    // The compiler merges some gathers and adds none.
    const gathers = row("all_gather", "data");
    assert.ok(gathers !== undefined && gathers.count > 0 && gathers.count <= gathers.plan_count, JSON.stringify(gathers));
  });

  it("the second answer comes from the cache, and --hlo writes the program to its path", async () => {
    assert.equal((await compileJob("--text", "chip")).cached, true);
    await compileJob("--text", "chip", "--hlo", "step.hlo");
    assert.match(readFileSync(join(home.directory, "step.hlo"), "utf8"), /^HloModule /);
  });

  it("the command reports a slice that the compiler does not know, with exit code 2", async () => {
    const { code, stdout } = await home.run(
      "compile",
      join(root, "configs/jobs/nano16.yaml"),
      "slice=1x3",
      "mesh={data: 3}",
      "train.batch=48",
      "--json",
    );
    const { error } = JSON.parse(stdout) as { error: { code: string } };
    assert.deepEqual([code, error.code], [2, "LAP_TPU_TOPOLOGY"]);
  });

  it("the command reports by how much a program exceeds the memory of a chip", async () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-tpu-"));
    try {
      const g = new GraphBuilder("big");
      const x = g.parameter("x", tensorType("f32", [256 * 65536, 1024]), ["batch", null], "batch");
      const up = g.parameter("params/up", tensorType("f32", [1024, 65536]), [null, null], "param");
      const down = g.parameter("params/down", tensorType("f32", [65536, 16384]), [null, null], "param");
      const hidden = g.tanh(g.dotGeneral(x, up, [], [[1, 0]]));
      g.output("y", g.reduce(g.dotGeneral(hidden, down, [], [[1, 0]]), [1], "sum"));
      const { global, propagated } = compile(g.finish(), {
        mesh: makeMesh({ data: 256 }),
        rules: { batch: "data" },
        zero: { stage: 0, axes: [] },
      });
      const path = join(directory, "big.mlir");
      writeFileSync(path, globalModule(global, shardingConstraints(propagated)));
      const { stdout } = await execute(python, [tpuScript(), path, "--topology", "v5e:16x16"], { maxBuffer: 1 << 26 });
      const { does_not_fit: short, memory } = parseTpuResult(stdout);
      assert.equal(memory, undefined);
      assert.equal(short?.limit, 15.75 * 2 ** 30);
      assert.ok((short?.used ?? 0) > 15.75 * 2 ** 30);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
