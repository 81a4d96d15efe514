import { deepStrictEqual, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const command = fileURLToPath(new URL("../../../tools/sim-faults/main.mjs", import.meta.url));

describe("bugs planted in the code that recovers runs", function () {
  this.timeout(3_600_000);

  it("the fault simulation finds each of them within 1,000 seeds", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [command, "--bugs", "--json"], { maxBuffer: 16 << 20 }).catch(
      (error: unknown) => error as { readonly stdout: string },
    );
    const { bugs } = JSON.parse(stdout) as { readonly bugs: readonly { readonly bug: string; readonly seed?: number }[] };
    ok(bugs.length >= 10);
    deepStrictEqual(
      bugs.filter(({ seed }) => seed === undefined).map(({ bug }) => bug),
      [],
    );
  });
});
