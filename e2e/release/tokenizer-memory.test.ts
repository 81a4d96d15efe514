import { ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const main = fileURLToPath(new URL("../../../packages/tokenizer/dist/testing/train-main.js", import.meta.url));

describe("memory of the training of a tokenizer", function () {
  this.timeout(3_600_000);

  it("256,000 pieces of 2 GB of text with 20 million different words need less than 4 GB", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [main, "256000", "2000", "20000000"]);
    const { pieces, rss_mb } = JSON.parse(stdout) as { pieces: number; rss_mb: number };
    ok(pieces > 250_000 && rss_mb < 4000, stdout);
  });
});
