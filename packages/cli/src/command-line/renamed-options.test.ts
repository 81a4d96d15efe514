import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { commandTree } from "../tree.js";
import { runCli } from "../testing/cli-process.js";
import { parseCommandLine } from "./parse.js";
import { renamedOptions, replaceRenamedOptions } from "./renamed-options.js";

const replace = (...argv: string[]): [readonly string[], string[]] => {
  const { argv: words, warnings } = replaceRenamedOptions(commandTree, argv);
  return [words, warnings.map(({ remedy }) => remedy)];
};

describe("renamed options", () => {
  for (const { command, old, current } of renamedOptions)
    it(`\`${command} ${old}\` is parsed like \`${current}\`, with a warning that contains the new name`, () => {
      const words = [...command.split(" ").slice(1), "job.yaml", "-o", "out"];
      const [argv, remedies] = replace(...words, ...old.split(" "));
      deepStrictEqual(remedies, [`write \`${current}\``]);
      const given = (options: readonly string[]): unknown => {
        const call = parseCommandLine(commandTree, "9", options, { columns: 100, title: (text) => text });
        ok(call.kind === "run");
        return call.args;
      };
      deepStrictEqual(given(argv), given([...words, ...current.split(" ")]));
    });

  it("an old value is replaced after `=` too, and a global option may precede the command", () => {
    deepStrictEqual(replace("--home", "export", "export", "job.yaml", "--state=files", "-o", "x"), [
      ["--home", "export", "export", "job.yaml", "--state", "values", "-o", "x"],
      ["write `--state values`"],
    ]);
  });

  it("current names, other commands and words after `--` do not change", () => {
    for (const argv of [
      ["export", "job.yaml", "-o", "out", "--no-data", "--state", "values"],
      ["ckpt", "export", "x", "--without-data"],
      ["plan", "job.yaml", "--axis-wise"],
      ["export", "job.yaml", "--", "--without-data"],
      ["jobs", "--state", "files"],
    ])
      deepStrictEqual(replace(...argv), [argv, []]);
  });

  it("the help of a command contains only the current names", () => {
    const call = parseCommandLine(commandTree, "9", ["export", "--help"], { columns: 100, title: (text) => text });
    ok(call.kind === "print");
    for (const name of ["--no-data", "--split-all-reduce", "values", "init-spec"]) ok(call.text.includes(name), name);
    for (const name of ["--without-data", "--axis-wise", "recipe"]) strictEqual(call.text.includes(name), false, name);
  });

  it("the lapidary process prints the warning on stderr", async () => {
    const { code, stderr } = await runCli(["export", "missing.yaml", "-o", "out", "--without-data"]);
    ok(code !== 0);
    match(stderr, /warning LAP_CLI_RENAMED: `--without-data` has the new name `--no-data`/);
    match(stderr, /missing\.yaml/);
  });
});
