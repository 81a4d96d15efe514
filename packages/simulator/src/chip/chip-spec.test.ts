import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { chipNamed } from "../testing/fixtures.js";
import { linkRate, parseChip, wrapsAt } from "./chip-spec.js";

const directory = new URL("../../../../configs/chips/", import.meta.url);
const text = readFileSync(new URL("v5e.yaml", directory), "utf8");

describe("chips", () => {
  for (const file of readdirSync(directory))
    it(`configs/chips/${file} is a valid specification with the name of its file`, () =>
      strictEqual(`${parseChip(readFileSync(new URL(file, directory), "utf8"), file).name}.yaml`, file));

  it("v5e has 45 GB/s per link, 240 flops per byte, and rings only of 16 chips", () => {
    const v5e = chipNamed("v5e");
    strictEqual(linkRate(v5e), 45e9);
    ok(Math.abs(v5e.matrix.bf16_flops / v5e.hbm.bytes_per_s - 240) < 1);
    ok(wrapsAt(v5e, 16) && !wrapsAt(v5e, 8) && wrapsAt(chipNamed("v5p"), 8));
  });

  it("every kind of chip has the calibrated constants of the documentation; v4 has its own two", () => {
    const docs = readFileSync(new URL("../../../../docs/simulator.md", import.meta.url), "utf8");
    const constants = (heading: string) => {
      const rows = new RegExp(`^\\| ${heading} \\| value \\|\\n.*\\n((?:\\| \\w+ \\| [\\d.]+ \\|\\n)+)`, "m").exec(docs)?.[1] ?? "";
      return Object.fromEntries([...rows.matchAll(/^\| (\w+) \| ([\d.]+) \|$/gm)].map(([, name = "", value]) => [name, Number(value)]));
    };
    const shared = constants("constant");
    const ofV4 = constants("constant of v4");
    deepStrictEqual(Object.keys(shared), ["matrix_efficiency", "vector_efficiency", "overlap_loss", "pod_delay"]);
    deepStrictEqual(Object.keys(ofV4), ["matrix_efficiency", "pod_delay"]);
    for (const chip of ["v5e", "v4", "v5p", "v6e"]) {
      const calibrated = new Map(Object.entries(chipNamed(chip).calibrated));
      for (const [name, value] of Object.entries(chip === "v4" ? { ...shared, ...ofV4 } : shared))
        strictEqual(calibrated.get(name), value, `${name} of ${chip}`);
    }
  });

  it("the error for an invalid specification names the file or the field", () => {
    throws(() => parseChip("name: x", "x.yaml"), { code: "LAP_CHIP_SPEC", location: "x.yaml", exit: 2 });
    throws(() => parseChip(text.replace("hop_s: 1e-6", "hop_s: -1"), "x.yaml"), /ici\.hop_s/);
    throws(() => parseChip(text.replace("hop_s:", "hops:"), "x.yaml"), { code: "LAP_CHIP_SPEC" });
    throws(() => parseChip("{", "x.yaml"), /not YAML/);
  });
});
