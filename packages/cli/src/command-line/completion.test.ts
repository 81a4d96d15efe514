import { deepStrictEqual, ok } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { commandTree } from "../tree.js";
import { completionScript } from "./completion.js";

const bash = completionScript(commandTree, "bash");

/** The completions of bash for the last word. */
function offered(...words: string[]): string[] {
  const line = `COMP_WORDS=(${["lapidary", ...words].map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _lapidary; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync("bash", ["--norc", "-c", `${bash}\n${line}`], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return out.split("\n").filter((word) => word !== "");
}

describe("completion", () => {
  it("bash completes commands, subcommands, options and their choices", () => {
    deepStrictEqual(offered("la"), ["launch"]);
    deepStrictEqual(offered("ckpt", "ex"), ["export"]);
    deepStrictEqual(offered("jobs", "wait", "--time"), ["--timeout"]);
    deepStrictEqual(offered("parity", "--numerics", ""), ["f32", "mxu"]);
    deepStrictEqual(offered("parity", "x", "--zero", ""), ["0", "1", "2", "3"]);
    deepStrictEqual(offered("completion", "z"), ["zsh"]);
    ok(offered("status", "--").includes("--json"));
  });

  it("the script of every shell contains every command", () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const script = completionScript(commandTree, shell);
      for (const { name } of commandTree.commands ?? []) ok(script.includes(name), `${shell}: ${name}`);
    }
  });

  for (const [shell, flag] of [
    ["bash", "-n"],
    ["zsh", "-n"],
    ["fish", "--no-execute"],
  ] as const)
    it(`${shell} accepts the syntax of its script`, function () {
      const { status, stderr, error } = spawnSync(shell, [flag], { input: completionScript(commandTree, shell), encoding: "utf8" });
      // The shell is not installed here.
      if (error !== undefined) return this.skip();
      deepStrictEqual([status, stderr], [0, ""], shell);
    });
});
