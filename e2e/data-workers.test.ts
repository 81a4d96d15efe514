import { execFileSync } from "node:child_process";
import { deepStrictEqual } from "node:assert/strict";
import { join } from "node:path";
import { root } from "./support/cli.js";

describe("a pipeline on workers", function () {
  this.timeout(180_000);

  it("ends with the bytes of an undisturbed run on this host, although workers, planner and Redis are killed", () => {
    const kills = 2;
    const script = join(root, "tools/kill-workers/main.mjs");
    const output = execFileSync(
      process.execPath,
      [script, "--megabytes", "0.2", "--pause-ms", "2000", "--kills", String(kills), "--seed", "2"],
      {
        encoding: "utf8",
      },
    );
    const result = JSON.parse(output) as { readonly kills: number; readonly equal: boolean };
    deepStrictEqual([result.kills, result.equal], [kills, true]);
  });
});
