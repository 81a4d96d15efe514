import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";

const command = `
import { readFlags } from "./flags.mjs";
const { values, positionals } = readFlags("some command [--times N]", {
  times: { type: "count", default: "5" },
  gap: { type: "number" },
  way: { type: "string", among: ["up", "down"] },
  json: { type: "boolean", default: false },
}, { positionals: 1 });
console.log(JSON.stringify({ ...values, positionals }));
`;

describe("flags of tools", () => {
  /** @param {string[]} args */
  const run = (...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", command, "--", ...args], {
      cwd: new URL(".", import.meta.url),
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  it("readFlags returns the given flags, and defaults for the others", () => {
    const { stdout } = run("here", "--gap", "0.5", "--json");
    const { times, gap, way, json, positionals } = JSON.parse(stdout);
    assert.deepEqual({ times, gap, way, json, positionals }, { times: "5", gap: "0.5", way: undefined, json: true, positionals: ["here"] });
  });

  it("--help lists the flags", () => {
    assert.deepEqual(run("--help"), { status: 0, stdout: "some command [--times N]\n", stderr: "" });
  });

  for (const [args, problem] of /** @type {[string[], RegExp][]} */ ([
    [["--times", "many"], /--times takes a whole number from 1 on, not many/],
    [["--times", "0"], /--times takes/],
    [["--gap", "-1"], /gap/],
    [["--way", "left"], /--way takes up, down, not left/],
    [["--no-such"], /no-such/],
    [["a", "b"], /an argument too many: b/],
  ]))
    it(`invalid flags are rejected with a remedy: ${args.join(" ")}`, () => {
      const { status, stdout, stderr } = run(...args);
      assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
      assert.match(stderr, problem);
      assert.match(stderr, /^error LAP_TOOL_USAGE: /);
      assert.match(stderr, /remedy: some command/);
    });
});
