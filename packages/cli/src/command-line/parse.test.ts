import { deepStrictEqual, equal, match, ok, throws } from "node:assert/strict";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { commandTree } from "../tree.js";
import { type Call, parseCommandLine } from "./parse.js";
import type { CommandSpec } from "./spec.js";

const read = (...argv: string[]): Call => parseCommandLine(commandTree, "9.9.9", argv, { columns: 100, title: (text) => text });

/** Code, place and remedy of the error that a command line causes; all have exit code 2. */
function mistake(...argv: string[]): [string, string | undefined, string] {
  try {
    read(...argv);
  } catch (error) {
    ok(error instanceof LapidaryError, String(error));
    equal(error.exit, ExitCode.usage);
    return [error.code, error.location, error.remedy];
  }
  throw new Error(`${argv.join(" ")} is not a mistake`);
}

describe("command line", () => {
  it("the parser finds the command, its arguments and options in any order", () => {
    const call = read(
      "launch",
      "-d",
      "job.yaml",
      "train.steps=5",
      "mesh.data=-1",
      "--json",
      "--name",
      "a",
      "--priority",
      "-3",
      "--home",
      "x",
    );
    ok(call.kind === "run");
    const { args, globals, command } = call;
    deepStrictEqual(
      [command, args.required("job"), args.list("overrides"), args.flag("detach"), args.text("name"), args.number("priority")],
      ["lapidary launch", "job.yaml", ["train.steps=5", "mesh.data=-1"], true, "a", -3],
    );
    deepStrictEqual(globals, { json: true, quiet: false, verbose: false, color: true, home: "x" });
  });

  it("`help COMMAND` prints the same text as `COMMAND --help`", () => {
    const pathsOf = (spec: CommandSpec, path: readonly string[]): string[][] => [
      [...path],
      ...(spec.commands ?? []).flatMap((child) => pathsOf(child, [...path, child.name])),
    ];
    for (const path of pathsOf(commandTree, [])) {
      const call = read("help", ...path);
      ok(call.kind === "print" && call.text.includes("Usage: lapidary"), path.join(" "));
      deepStrictEqual(call, read(...path, "--help"));
    }
    deepStrictEqual(mistake("help", "plam"), ["LAP_CLI_COMMAND", "lapidary", 'did you mean "plan"?']);
    deepStrictEqual(mistake("help", "jobs", "resum"), ["LAP_CLI_COMMAND", "lapidary jobs", 'did you mean "resume"?']);
    deepStrictEqual(mistake("help", "plan", "x"), ["LAP_CLI_COMMAND", "lapidary plan", 'leave "x" out']);
    equal(mistake("help", "--nosuch")[0], "LAP_CLI_OPTION");
  });

  it("an argument that is not given is undefined", () => {
    const call = read("launch", "job.yaml");
    ok(call.kind === "run");
    deepStrictEqual(
      [call.args.list("overrides"), call.args.flag("detach"), call.args.text("name"), call.args.number("priority")],
      [[], false, undefined, undefined],
    );
  });

  it("`jobs` without a subcommand lists jobs", () => {
    const call = read("jobs", "--limit", "3");
    ok(call.kind === "run");
    deepStrictEqual([call.command, call.args.number("limit")], ["lapidary jobs list", 3]);
  });

  it("an error suggests the nearest command, option or choice", () => {
    deepStrictEqual(mistake("lanch"), ["LAP_CLI_COMMAND", "lapidary", 'did you mean "launch"?']);
    deepStrictEqual(mistake("jobs", "cansel"), ["LAP_CLI_COMMAND", "lapidary jobs", 'did you mean "cancel"?']);
    deepStrictEqual(mistake("ckpt", "verfy", "x"), ["LAP_CLI_COMMAND", "lapidary ckpt", 'did you mean "verify"?']);
    deepStrictEqual(mistake("parity", "x", "--zerro=3"), ["LAP_CLI_OPTION", "lapidary parity", 'did you mean "--zero"?']);
    deepStrictEqual(mistake("status", "--jsn"), ["LAP_CLI_OPTION", "lapidary status", 'did you mean "--json"?']);
    deepStrictEqual(mistake("parity", "x", "--numerics", "mux"), ["LAP_CLI_ARGUMENT", "--numerics", 'did you mean "mxu"?']);
  });

  it("an error names the missing argument, the extra argument or the invalid number", () => {
    deepStrictEqual(mistake("parity"), ["LAP_CLI_ARGUMENT", "lapidary parity", "write `lapidary parity [options] <dir> [overrides...]`"]);
    deepStrictEqual(mistake("ckpt", "export", "x").slice(0, 2), ["LAP_CLI_OPTION", "lapidary ckpt export"]);
    deepStrictEqual(mistake("launch", "x", "--name").slice(0, 2), ["LAP_CLI_OPTION", "lapidary launch"]);
    deepStrictEqual(mistake("status", "now").slice(0, 2), ["LAP_CLI_ARGUMENT", "lapidary status"]);
    deepStrictEqual(mistake("parity", "x", "--workers", "two"), [
      "LAP_CLI_ARGUMENT",
      "--workers",
      "write a whole number, such as --workers 2",
    ]);
    deepStrictEqual(mistake("jobs", "wait", "x", "--timeout", "-1").slice(0, 2), ["LAP_CLI_ARGUMENT", "--timeout"]);
  });

  it("a missing command prints the help, or an error with --json", () => {
    for (const argv of [[], ["--help"], ["ckpt"], ["config", "-h"], ["launch", "--help"]]) {
      const call = read(...argv);
      ok(call.kind === "print");
      match(call.text, /^Usage: lapidary/);
    }
    deepStrictEqual(mistake("--json"), [
      "LAP_CLI_COMMAND",
      "lapidary",
      `choose one of ${(commandTree.commands ?? []).map(({ name }) => name).join(", ")}`,
    ]);
  });

  it("--version prints the version", () => {
    const call = read("--version");
    ok(call.kind === "print");
    equal(call.text, "9.9.9\n");
  });

  it("every command has a summary, every leaf has a function, and no option occurs twice", () => {
    const check = (spec: CommandSpec): void => {
      ok(spec.summary !== "" && [spec.commands, spec.run, spec.explains].filter((way) => way !== undefined).length === 1, spec.name);
      const flags = (spec.options ?? []).flatMap((option) => option.flags.split(/[ ,]+/)).filter((word) => word.startsWith("-"));
      equal(new Set(flags).size, flags.length, spec.name);
      ok(!flags.some((flag) => ["-q", "-v", "-V", "-h", "--json", "--home", "--color"].includes(flag)), spec.name);
      spec.commands?.forEach(check);
    };
    check(commandTree);
    throws(() => read("simulate", "x"), { code: "LAP_CLI_COMMAND" });
  });
});
