import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failpointsOf } from "./failpoint-effects.js";
import { Failpoints, parseFailpoints } from "./failpoints.js";

describe("failpoints", () => {
  it("a failpoint fires at its place, step and process, as often as its count, and no failpoint is active by default", () => {
    const done: string[] = [];
    const left = new Map([["before-vote@4,1:kill*2", 2]]);
    const points = new Failpoints(parseFailpoints("before-vote@4,1:kill*2"), {
      kill: () => void done.push("kill"),
      suspend: () => void done.push("suspend"),
      hang: () => void done.push("hang"),
      claim: ({ text }) => {
        const n = left.get(text) ?? 0;
        left.set(text, n - 1);
        return n > 0;
      },
    });
    for (const [name, step, target] of [
      ["after-vote", 4, 1],
      ["before-vote", 3, 1],
      ["before-vote", 4, 0],
      ["before-vote", 4, "c"],
    ] as const)
      points.hit(name, step, target);
    deepStrictEqual(done, []);
    for (let i = 0; i < 3; i++) points.hit("before-vote", 4, 1);
    deepStrictEqual(done, ["kill", "kill"]);
    strictEqual(failpointsOf({}).armed, false);
  });

  it("a failpoint throws, or returns the damage that the caller applies", () => {
    const points = failpointsOf({ LAPIDARY_FAILPOINTS: "forward@*,*:throw; shard-synced@2,c:corrupt" });
    throws(() => points.hit("forward", 9, 3), { code: "LAP_FAILPOINT" });
    deepStrictEqual([points.hit("shard-synced", 2, "c"), points.hit("shard-synced", 2, "c")], [true, false]);
  });

  it("a failpoint does not fire at a caller that does not support its action", () => {
    const points = failpointsOf({ LAPIDARY_FAILPOINTS: "all-gather-chunk-sent@2,1:corrupt" });
    strictEqual(points.hit("all-gather-chunk-sent", 2, 1, ["kill", "throw"]), false);
    strictEqual(points.hit("all-gather-chunk-sent", 2, 1, ["corrupt"]), true);
  });

  it("a failpoint fires once over all processes that share a directory, and writes a file there", async () => {
    const directory = mkdtempSync(join(tmpdir(), "failpoints-"));
    try {
      const environment = { LAPIDARY_FAILPOINTS: "forward@1,0:throw", LAPIDARY_FAILPOINTS_FIRED: directory };
      await rejects(async () => failpointsOf(environment).hit("forward", 1, 0), { code: "LAP_FAILPOINT" });
      strictEqual(failpointsOf(environment).hit("forward", 1, 0), false);
      strictEqual(readdirSync(directory).length, 1);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("a failpoint with a plus after its step fires from that step on", () => {
    const points = failpointsOf({ LAPIDARY_FAILPOINTS: "snapshot-copy@4+,0:corrupt*2" });
    deepStrictEqual(
      [2, 3, 5, 7, 9].map((step) => points.hit("snapshot-copy", step, 0)),
      [false, false, true, true, false],
    );
  });

  it("an observer is called for each firing, before the failpoint takes effect", () => {
    const seen: unknown[] = [];
    const points = failpointsOf({ LAPIDARY_FAILPOINTS: "forward@2,1:throw; after-commit@3,c:corrupt" }).observedBy((firing) =>
      seen.push(firing),
    );
    points.hit("forward", 1, 1);
    throws(() => points.hit("forward", 2, 1), { code: "LAP_FAILPOINT" });
    for (let i = 0; i < 2; i++) points.hit("after-commit", 3, "c");
    deepStrictEqual(seen, [
      { site: "forward", step: 2, target: 1, action: "throw" },
      { site: "after-commit", step: 3, target: "c", action: "corrupt" },
    ]);
  });

  it("a failpoint with a former name of an action has the action of the new name", () => {
    for (const [former, action] of [
      ["stop", "suspend"],
      ["tear", "truncate"],
      ["repeat", "duplicate"],
      ["swap", "reorder"],
    ])
      strictEqual(parseFailpoints(`forward@1,0:${former}`)[0]?.action, action);
    throws(() => parseFailpoints("forward@1,0:constructor"), { code: "LAP_FAILPOINT_TEXT" });
  });

  it("a misspelt failpoint is an error", () => {
    throws(() => parseFailpoints("befor-vote@4,1:kill"), { code: "LAP_FAILPOINT_TEXT", remedy: /before-vote/ });
    throws(() => parseFailpoints("before-vote@4:kill"), { code: "LAP_FAILPOINT_TEXT" });
  });
});
