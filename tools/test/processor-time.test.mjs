import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { processorSeconds } from "./processor-time.mjs";

/** Works for 0.3 s of its own processor time, says so, and waits. */
const busy = 'while (process.cpuUsage().user < 3e5); process.stdout.write("done"); setInterval(() => undefined, 1000);';

describe("processor time", () => {
  it("the time of a process includes a child that runs, and the same child after its end", async function () {
    if (!existsSync("/proc/self/stat")) this.skip();
    const before_s = processorSeconds();
    // The child of the child is counted as well.
    const outer = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(busy)}], { stdio: "inherit" });
      process.stdin.once("end", () => process.exit()).resume();`;
    const child = spawn(process.execPath, ["-e", outer], { stdio: ["pipe", "pipe", "inherit"], detached: true });
    await once(child.stdout, "data");
    const running_s = processorSeconds() - before_s;
    assert.ok(running_s >= 0.29, `${running_s}`);

    const single = spawn(process.execPath, ["-e", busy], { stdio: ["ignore", "pipe", "inherit"] });
    await once(single.stdout, "data");
    const both_s = processorSeconds() - before_s;
    single.kill();
    await once(single, "exit");
    const ended_s = processorSeconds() - before_s;
    process.kill(-(child.pid ?? 0), "SIGKILL");
    await once(child, "exit");
    assert.ok(both_s >= running_s + 0.29 && ended_s >= both_s - 0.02, `${running_s} ${both_s} ${ended_s}`);
  });
});
