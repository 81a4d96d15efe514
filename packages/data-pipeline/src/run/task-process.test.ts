import { deepStrictEqual, notStrictEqual, rejects } from "node:assert/strict";
import type { Task } from "../plan/plan.js";
import { TaskProcess } from "./task-process.js";

const request = (runner: TaskProcess, stage: string): ReturnType<TaskProcess["request"]> =>
  runner.request({ kind: "probe", task: { stage } as unknown as Task, limits: { setAside: [] } });

describe("the process of a worker", function () {
  this.timeout(30_000);

  it("a process that ended is replaced, and the reason of its end is returned", async () => {
    const runner = new TaskProcess(
      { kind: "open", location: "", access: { scratch: "" } },
      new URL("../testing/dying-main.js", import.meta.url),
    );
    try {
      const first = await request(runner, "answer");
      deepStrictEqual(await request(runner, "answer"), first);
      deepStrictEqual(await request(runner, "throw"), { kind: "died", why: "RangeError: too deep" });
      await rejects(request(runner, "fail"), { code: "LAP_DATA_STORE" });
      deepStrictEqual(await request(runner, "kill"), { kind: "died", why: "SIGKILL" });
      const second = await request(runner, "answer and exit");
      notStrictEqual(JSON.stringify(second), JSON.stringify(first));
      // The request reaches the process that ends, or a new one.
      const third = await request(runner, "exit");
      deepStrictEqual([third.kind, third.kind === "died" && /^exit code [07]$/.test(third.why)], ["died", true]);
      deepStrictEqual((await request(runner, "answer")).kind, "probed");
    } finally {
      runner.kill();
    }
  });
});
