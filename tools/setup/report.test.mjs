import assert from "node:assert/strict";
import { Report } from "./report.mjs";

describe("the report of the set-up", () => {
  it("the report prints no secret that a tool put into its output, in plain lines and in the line that is redrawn", async () => {
    for (const isTTY of [false, true]) {
      let printed = "";
      const stream = /** @type {NodeJS.WriteStream} */ (
        /** @type {unknown} */ ({ isTTY, columns: 200, write: (/** @type {string} */ text) => (printed += text) })
      );
      const report = new Report({ stream });
      const task = report.begin("packages", "npm ci from https://me:s3cret@registry/");
      task.update("//registry/:_authToken=s3cret");
      if (isTTY) await until(() => printed.includes("_authToken"));
      task.end("https://me:s3cret@registry/");
      report.warn("    | npm error 401 https://me:s3cret@registry/tfjs?token=s3cret");
      assert.match(printed, /npm error 401 https:\/\/registry\/tfjs\?token=\*\*\*/);
      assert.doesNotMatch(printed, /s3cret/);
    }
  });

  it("the line that is redrawn names every running step", async () => {
    let printed = "";
    const stream = /** @type {NodeJS.WriteStream} */ (
      /** @type {unknown} */ ({ isTTY: true, columns: 60, write: (/** @type {string} */ text) => (printed = text) })
    );
    const report = new Report({ stream });
    const tasks = ["packages", "redis"].map((name) => report.begin(name, "a long download from somewhere far away"));
    await until(() => /packages .* redis /.test(printed));
    assert.ok(printed.length <= 60 + "\r\x1b[2K".length, printed);
    tasks[0]?.end();
    await until(() => printed.includes("redis") && !printed.includes("packages"));
    tasks[1]?.end();
  });
});

/** @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await new Promise((done) => setImmediate(done));
}
