import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type PlanFile, readPlanFile, writePlanFile } from "./plan-file.js";

const shard = (name: string): ReturnType<PlanFile["shards"]> => [
  {
    source: "web",
    name,
    bytes: 3,
    view: { documents: "d", edits: ["e"], columns: [] },
    tokens: "t",
    accounts: [{ stage: 0, key: "d", view: { edits: [], columns: [] } }],
  },
];

const plan: PlanFile = {
  version: 2,
  file: "/p.yaml",
  sources: { web: { licence: "CC0-1.0", damaged: "error" } },
  stages: [{ stage: "read", settings: {}, columns: { bytes: "number" }, expect: 0.6, shards: 2 }],
  files: ["f"],
  shards: () => [...shard("web/0"), ...shard("web/1")],
  keys: () => ["d", "e", "t"],
};

describe("the file of a plan", () => {
  const directory = temporaryDirectory();
  const path = (): string => join(directory(), "plan.jsonl");

  it("a plan that is read has the settings, shards and keys of the plan that was written", () => {
    writePlanFile(directory(), plan);
    const { shards, keys, ...shared } = readPlanFile(directory());
    const { shards: _, keys: __, ...expected } = plan;
    deepStrictEqual(shared, expected);
    // A reader can read the shards twice.
    for (let i = 0; i < 2; i++) deepStrictEqual([...shards()], [...plan.shards()]);
    deepStrictEqual([...keys()], [...plan.keys()]);
  });

  it("a plan without one of its lines, or with a line that is cut, is an error and not a smaller plan", () => {
    writePlanFile(directory(), plan);
    const lines = readFileSync(path(), "utf8").split("\n").slice(0, -1);
    const damaged = lines.map((_, without) =>
      lines
        .filter((__, i) => i !== without)
        .map((line) => `${line}\n`)
        .join(""),
    );
    for (const text of [...damaged, lines.join("\n"), readFileSync(path(), "utf8").slice(0, 500)]) {
      writeFileSync(path(), text);
      const readAll = (): unknown => {
        const read = readPlanFile(directory());
        return [...read.shards(), ...read.keys()];
      };
      throws(readAll, { code: "LAP_DATA_NO_RESULT" }, text);
    }
  });

  it("a plan of 300,000 shards is written and read with a heap of 96 MB, which neither its text nor its shards fit into", function () {
    this.timeout(300_000);
    const main = fileURLToPath(new URL("../testing/plan-main.js", import.meta.url));
    const output = execFileSync(process.execPath, ["--max-old-space-size=96", main, "300000", directory()], { encoding: "utf8" });
    const { shards, keys, rss_mb } = JSON.parse(output) as { shards: number; keys: number; rss_mb: number };
    deepStrictEqual([shards, keys], [300_000, 300_000]);
    ok(rss_mb < 400, output);
  });
});
