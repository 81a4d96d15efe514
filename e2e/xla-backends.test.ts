import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Program, summarizeCollectives } from "@lapidary/compiler";
import {
  perDeviceModule,
  type Comparison,
  compareWith,
  type ReferenceBackend,
  backendScript,
  parseBackendOutput,
  shardingConstraints,
  type BackendOutput,
  globalModule,
} from "@lapidary/interop";
import { expectText } from "@lapidary/std/testing";
import { Home, root } from "./support/cli.js";
import { compileGolden, goldenCases } from "./support/xla-golden.js";
import { jaxPython, runSuccessfully } from "./support/xla.js";

/** The programs that docs/xla-comparison.md compares, all on 256 chips. */
const compared = ["data=16,model=16 ZeRO-3", "data=256 ZeRO-3", "tensor + sequence", "two pods of 8x16"] as const;

describe("reference backends", function () {
  this.timeout(300_000);
  let directory = "";
  let python = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
    python = await jaxPython();
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  async function outputOf(backend: ReferenceBackend, text: string): Promise<BackendOutput> {
    const path = join(directory, "text.mlir");
    writeFileSync(path, text);
    return parseBackendOutput((await runSuccessfully(python, [backendScript(backend), path])).stdout);
  }
  const globalText = ({ global, propagated }: Program): string => globalModule(global, shardingConstraints(propagated));

  it("a chip sends at most as many bytes as with Shardy's passes; the documentation lists the differences and their reasons", async () => {
    const parts: string[] = [];
    for (const name of compared) {
      const { program } = await compileGolden(goldenCases[name]);
      const comparison = compareWith("shardy", program, await outputOf("shardy", globalText(program)));
      ok(comparison.ratio <= 1, `${name}: ${comparison.ratio}`);
      // Nearly all values are compared, and most agree. The shardings of arguments are fixed by the module.
      const made = program.global.values.filter(({ op, type }) => op !== "parameter" && op !== "constant" && type.dims.length > 0).length;
      const { compared: count = 0, differences = [] } = comparison.shardings ?? {};
      ok(count > 0.9 * made && differences.length < 0.1 * count, `${name}: ${differences.length} of ${count} of ${made}`);
      parts.push(section(name, comparison));
    }
    const file = join(root, "docs/xla-comparison.md");
    if (!existsSync(file)) writeFileSync(file, "");
    expectText(`${introduction}\n\n${parts.join("\n\n")}`, file);
    ok(readFileSync(file, "utf8").length > 1000);
  });

  it("XLA compiles a per-device module to the same collectives, on the same axes, with the same bytes", async () => {
    for (const name of ["data=16,model=16 ZeRO-3", "data=2,model=4 ZeRO-3"] as const) {
      const { program } = await compileGolden(goldenCases[name]);
      const { collectives } = await outputOf("xla", perDeviceModule(program.chip, program.global));
      const theirs = new Map<string, { count: number; bytes: number }>();
      for (const { op, axes, bytes } of collectives) {
        const known = theirs.get(`${op} ${axes.join("+")}`) ?? { count: 0, bytes: 0 };
        theirs.set(`${op} ${axes.join("+")}`, { count: known.count + 1, bytes: known.bytes + bytes });
      }
      const ours = summarizeCollectives(program.chip).map(
        ({ op, axis, count, bytes_per_chip: bytes }) => [`${op} ${axis}`, { count, bytes }] as const,
      );
      deepStrictEqual(new Map([...theirs].sort()), new Map([...ours].sort(([a], [b]) => (a < b ? -1 : 1))));
    }
  });

  it("a chip sends at most as many bytes as with XLA's partitioning of the global module, and XLA's memory plan is within a factor of 2", async () => {
    const { program } = await compileGolden(goldenCases["data=16,model=16 ZeRO-3"]);
    const comparison = compareWith("xla", program, await outputOf("xla", globalText(program)));
    ok(comparison.ratio <= 1, `${comparison.ratio}`);
    // A reduction and a slice of its result count as one reduce_scatter, one for each gradient.
    strictEqual(comparison.collectives.find(({ op, axis }) => op === "reduce_scatter" && axis === "data")?.theirs.count, 20);
    const { ours, theirs } = comparison.memory ?? { ours: { arguments: 0, peak: 0 }, theirs: { arguments: 1, peak: 1 } };
    strictEqual(ours.arguments, theirs.arguments);
    ok(ours.peak < 2 * theirs.peak && theirs.peak < 2 * ours.peak, JSON.stringify({ ours, theirs }));
  });

  it("`lapidary explain --compare` compares with each backend", async () => {
    const home = new Home();
    try {
      const { judge, ours_bytes, theirs_bytes, shardings } = await home.json("explain", "tiny.yaml", "--compare", "shardy");
      ok(
        judge === "shardy" && Number(ours_bytes) > 0 && Number(ours_bytes) <= Number(theirs_bytes),
        `${String(ours_bytes)} ${String(theirs_bytes)}`,
      );
      ok(typeof shardings === "object" && shardings !== null && "differences" in shardings);
      const { code, stdout } = await home.run("explain", "tiny.yaml", "--compare", "xla", "-q");
      strictEqual(code, 0);
      match(stdout, /a chip sends [\d.]+ times the bytes of xla\nmemory of a chip: ours/);
    } finally {
      await home.clear();
    }
  });
});

const introduction = `# Comparison with Shardy

Written by \`UPDATE=1 node tools/test.mjs e2e/xla-backends\`. \`lapidary explain JOB --compare shardy\` prints the same
comparison for any job.

Each section gives the bytes that one chip sends in a step. The model is \`nano16\`. For \`data=256\`, it is \`data256\`,
which has 4 heads. The first program is that of Lapidary. The passes of Shardy make the second program from the global
module (\`whole.mlir\`). The same formulas give the bytes of both: all_gather and reduce_scatter send (n − 1)/n of the
full array, all_reduce sends twice as much, and all_to_all sends (n − 1)/n of the array of a chip. The second table of
a section lists the values with different shardings.`;

function section(name: string, { collectives, ours_bytes, theirs_bytes, ratio, shardings }: Comparison): string {
  const rows = new Map<string, { ours: number; theirs: number }>();
  for (const { axis, ours, theirs } of collectives) {
    const known = rows.get(meshAxes(axis)) ?? { ours: 0, theirs: 0 };
    rows.set(meshAxes(axis), { ours: known.ours + ours.bytes, theirs: known.theirs + theirs.bytes });
  }
  const { compared: count = 0, differences = [] } = shardings ?? {};
  return [
    `## ${name}`,
    "",
    "| axis | Lapidary, bytes a chip | Shardy, bytes a chip |",
    "| --- | ---: | ---: |",
    ...[...rows].map(([axis, { ours, theirs }]) => `| ${axis} | ${Math.round(ours)} | ${Math.round(theirs)} |`),
    `| **all** | **${Math.round(ours_bytes)}** | **${Math.round(theirs_bytes)}** |`,
    "",
    `Lapidary sends ${ratio.toFixed(3)} of the bytes of Shardy. ${differences.length} of ${count} values have different shardings:`,
    "",
    "| value | Lapidary | Shardy | reason of Lapidary |",
    "| --- | --- | --- | --- |",
    ...differences.map(({ name: value, ours, theirs, reason }) => `| ${value} | ${ours} | ${theirs} | ${reason} |`),
  ].join("\n");
}

/** The mesh axes of a list of axes and sub-axes: `data:(1)64+data:(64)4` and `data` are both the axis data. */
const meshAxes = (axis: string): string => [...new Set(axis.split("+").map((part) => part.split(":")[0]))].join("+");
