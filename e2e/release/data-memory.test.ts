import { deepStrictEqual, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { temporaryDirectory } from "@lapidary/std/testing";

const root = new URL("../../../", import.meta.url);

/** Runs a program of the repository, and returns the JSON of each line that it prints. */
async function linesOf(
  program: string,
  args: readonly string[],
  options: readonly string[] = [],
): Promise<readonly Record<string, number>[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...options, fileURLToPath(new URL(program, root)), ...args]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, number>);
}

describe("memory of data pipelines at full size", function () {
  this.timeout(3_600_000);
  const directory = temporaryDirectory();

  it("clusters of 10 million pairs of near-duplicates need a heap of 64 MB and less than 1 GB in all", async () => {
    const main = "packages/records/dist/testing/components-main.js";
    const [{ components = 0, rss_mb = 1000 } = {}] = await linesOf(main, ["10000000", directory()], ["--max-old-space-size=64"]);
    ok(components > 2_500_000 && rss_mb < 1000, `${components} components, ${rss_mb} MB`);
  });

  it("a plan of 1,000,000 shards is written and read with a heap of 96 MB", async () => {
    const main = "packages/data-pipeline/dist/testing/plan-main.js";
    const [{ shards, keys } = {}] = await linesOf(main, ["1000000", directory()], ["--max-old-space-size=96"]);
    deepStrictEqual([shards, keys], [1_000_000, 1_000_000]);
  });

  /** The difference is that of sorts, whose buffers of 16 MiB a small input does not fill. */
  it("a worker that computes 10 times the shards has a peak below 1 GB that is at most 64 MB higher", async () => {
    const peaks = await linesOf("tools/data-memory/main.mjs", ["--megabytes", "50,500", "--workers", "1", "--shard", "8MB"]);
    const [few = 0, many = 1000] = peaks.map(({ worker_mb = 1000 }) => worker_mb);
    ok(many < 1000 && many < few + 64, `${few} MB, ${many} MB`);
  });
});
