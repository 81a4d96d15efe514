import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jaxVersion, libtpuVersion } from "@lapidary/interop";
import type { TpuReport } from "@lapidary/tpu-compiler";
import { Home, root } from "./support/cli.js";
import { run, runSuccessfully, tpuPython } from "./support/xla.js";

const nano16 = join(root, "configs/jobs/nano16.yaml");

/** The fields of the report, in order. */
const fields = "job chip topology slices text compile_s hbm_bytes fits plan_hbm_bytes_peak collectives cycles compiler";

describe("Google's TPU compiler", function () {
  this.timeout(600_000);
  const home = new Home();
  let python = "";
  before(async function () {
    try {
      python = await tpuPython();
    } catch (error) {
      console.warn(`skipped: the tests of Google's TPU compiler, because libtpu cannot be installed here: ${String(error).slice(0, 2000)}`);
      this.skip();
    }
  });
  after(() => home.clear());

  const compileJob = async (...args: string[]): Promise<TpuReport> => (await home.json("compile", ...args)) as unknown as TpuReport;

  it("the TPU compiler compiles both modules of a job, and the report has HBM, collectives and cycles next to our plan", async () => {
    for (const text of ["chip", "whole"]) {
      const report = await compileJob(nano16, "--text", text, "--hlo", "step.hlo");
      assert.match(readFileSync(join(home.directory, "step.hlo"), "utf8"), /^HloModule /);
      assert.deepEqual(Object.keys(report), fields.split(" "));
      assert.deepEqual([report.fits, report.chip, report.topology, report.text], [true, "v5e", "v5e:16x16", text]);
      const { arguments: held, temporary, peak } = report.hbm_bytes;
      assert.ok(held !== null && temporary !== null && held > 50_000 && peak >= held + temporary, JSON.stringify(report.hbm_bytes));
      assert.ok((report.plan_hbm_bytes_peak ?? 0) > held);
      const parts = report.cycles.filter(({ xla, plan }) => xla > 0 && plan > 0).map(({ name, phase }) => `${name} ${phase}`);
      for (const part of ["layers.*.attn forward", "layers.*.attn backward", "layers.*.mlp backward", "update update"])
        assert.ok(parts.includes(part), `${text}: both sides have ${part}, in ${parts.join(", ")}`);
      // Lapidary gathers every weight of ZeRO over `data`; the compiler merges some gathers and adds none.
      const gathers = report.collectives.find(({ op, axis }) => op === "all_gather" && axis === "data");
      assert.ok(gathers !== undefined && gathers.count > 0 && gathers.count <= 35, JSON.stringify(gathers));
    }
  });

  it("with --memory, the compiler stops early and needs the same memory and collectives", async () => {
    // A number that no earlier run had: the cache of the user has no result with it.
    const clip = 1 + (Date.now() % 2 ** 20) / 2 ** 20;
    const subject = [nano16, "train.batch=512", `train.clip=${clip}`, "--text", "chip"] as const;
    const early = await compileJob(...subject, "--memory");
    const full = await compileJob(...subject);
    assert.deepEqual(early.cycles, []);
    assert.ok(full.cycles.length > 0);
    assert.deepEqual(early.collectives, full.collectives);
    assert.ok(Math.abs(early.hbm_bytes.peak / full.hbm_bytes.peak - 1) < 0.02, `${early.hbm_bytes.peak} and ${full.hbm_bytes.peak} bytes`);
    // An answer with cycles is also one about memory.
    assert.deepEqual(await compileJob(...subject, "--memory"), full);
    const { code, stdout } = await home.run("compile", ...subject, "--memory", "--hlo", "early.hlo", "--json");
    assert.deepEqual([code, (JSON.parse(stdout) as { error: { code: string } }).error.code], [2, "LAP_CLI_ARGUMENT"]);
  });

  it("the second answer comes from the cache, also for the export of the job, which needs no node", async () => {
    const report = await compileJob(nano16);
    const again = await home.run("compile", nano16, "--json");
    assert.match(again.stderr, /the result is from the cache/);
    await home.json("export", nano16, "--no-data", "-o", "export");
    const { stdout, stderr } = await runSuccessfully(python, [join(home.directory, "export/run.py"), "--compile", "v5e", "--json"]);
    assert.match(stderr, /the result is from the cache/);
    assert.deepEqual(JSON.parse(stdout), report);
  });

  it("the command reports chips and slices that the compiler does not know, with the nearest valid ones", async () => {
    const unknown = async (...args: string[]): Promise<{ code: string; remedy: string }> => {
      const { code, stdout } = await home.run("compile", nano16, ...args, "--json");
      assert.equal(code, 2);
      return (JSON.parse(stdout) as { error: { code: string; remedy: string } }).error;
    };
    const slice = await unknown("slice=1x3", "mesh={data: 3}", "train.batch=48");
    assert.equal(slice.code, "LAP_TPU_TOPOLOGY");
    assert.match(slice.remedy, /nearest slices of v5e are 1x1, 2x2/);
    const chip = await unknown("--chip", "v5f");
    assert.deepEqual([chip.code, chip.remedy], ["LAP_CHIP_UNKNOWN", 'did you mean "v5e"?']);
  });

  it("the command reports by how much a program exceeds the memory of a chip, and which values are largest", async () => {
    const { code, stdout } = await home.run("compile", nano16, "train.batch=8388608");
    assert.equal(code, 4);
    assert.match(stdout, /the TPU compiler needs \d+(\.\d)? GiB on a v5e chip, which has 15\.8 GiB/);
    assert.match(stdout, /its largest values:\n {4}\S+#\d+ +f32\[[\d,]+\] +[\d.]+ GiB/);
  });
});

describe("the installation of Google's TPU compiler", function () {
  this.timeout(120_000);
  const home = new Home();
  after(() => home.clear());
  const cache = join(home.directory, "cache");
  const error = async (...args: string[]): Promise<{ code: string; message: string; remedy: string }> => {
    const bin = join(root, "packages/cli/bin/lapidary.mjs");
    const { stdout } = await run(process.execPath, [bin, ...args, "--json"], { cwd: home.directory, env: { LAPIDARY_CACHE: cache } });
    return (JSON.parse(stdout) as { error: { code: string; message: string; remedy: string } }).error;
  };

  it("without the compiler, the command names what installs it, its size and its licence", async () => {
    const { code, remedy } = await error("compile", nano16);
    assert.equal(code, "LAP_TPU_NOT_INSTALLED");
    assert.match(remedy, /lapidary compile --install.*(GB|GiB).*Google Cloud Platform Terms of Service/);
  });

  it("a script that has not agreed to the licence installs nothing", async () => {
    const { code, remedy } = await error("compile", "--install");
    assert.equal(code, "LAP_TPU_CONSENT");
    assert.match(remedy, /--yes/);
  });

  it("an incomplete installation, or one with another version, is reported as damaged", async () => {
    const bin = join(cache, `jax-${jaxVersion}-libtpu-${libtpuVersion}/bin`);
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "python"), "#!/bin/sh\necho 'libtpu is 0.0.1, the export needs 0.0.52' >&2\nexit 1\n");
    chmodSync(join(bin, "python"), 0o755);
    const { code, message, remedy } = await error("compile", nano16);
    assert.equal(code, "LAP_TPU_DAMAGED");
    assert.match(message, /libtpu is 0\.0\.1/);
    assert.match(remedy, /lapidary compile --install/);
  });
});
