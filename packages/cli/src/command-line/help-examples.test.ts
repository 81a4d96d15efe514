import { deepStrictEqual, ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { commandTree } from "../tree.js";
import { parseCommandLine } from "./parse.js";
import type { CommandSpec } from "./spec.js";

interface NamedCommand {
  readonly path: string;
  readonly spec: CommandSpec;
}

const commandsBelow = (spec: CommandSpec, path: string): NamedCommand[] => [
  { path, spec },
  ...(spec.commands ?? []).flatMap((child) => commandsBelow(child, `${path} ${child.name}`)),
];

/** The command lines of `lapidary` in a line of a shell, as words. */
const callsIn = (line: string): string[][] =>
  line
    .split(/&&|\||<\(|\)/)
    .map((part) => part.replace(/ {2,}.*| > .*/, "").trim())
    .filter((part) => part.startsWith("lapidary"))
    .map((part) =>
      [...part.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare ?? "").slice(1),
    );

/** The commands that a line calls, or the error of the parser. */
const calledBy = (line: string): string[] =>
  callsIn(line).map((words) => {
    try {
      const call = parseCommandLine(commandTree, "9.9.9", words, { columns: 100, title: (text) => text });
      return call.kind === "run" ? call.command : `lapidary ${words[0] ?? ""}`;
    } catch (error) {
      if (!(error instanceof LapidaryError)) throw error;
      return `${error.code} (${error.location}): ${error.message}`;
    }
  });

describe("examples in the help", () => {
  const commands = commandsBelow(commandTree, "lapidary");

  it("the help of every command shows at least two different examples", () => {
    const lacking = commands.filter(
      ({ spec }) => new Set(spec.examples).size < 2 || new Set(spec.examples).size < (spec.examples ?? []).length,
    );
    ok(commands.length > 50);
    deepStrictEqual(
      lacking.map(({ path }) => path),
      [],
    );
    for (const { path, spec } of commands) {
      const help = parseCommandLine(commandTree, "9.9.9", [...path.split(" ").slice(1), "--help"], { columns: 100, title: (text) => text });
      ok(help.kind === "print", path);
      for (const example of spec.examples ?? [])
        ok(help.text.includes(`\n  ${example}\n`) || help.text.endsWith(`\n  ${example}\n`), example);
    }
  });

  it("every example is a command line of its command that the parser accepts", () => {
    const wrong = commands.flatMap(({ path, spec }) =>
      (spec.examples ?? []).flatMap((line) => {
        const called = calledBy(line);
        const isOfCommand = called.some((command) => command === path || command.startsWith(`${path} `));
        return isOfCommand && called.every((command) => command.startsWith("lapidary")) ? [] : [`${path}: ${line}: ${called.join(", ")}`];
      }),
    );
    deepStrictEqual(wrong, []);
  });

  it("the test of examples notices a wrong option, a wrong command and an argument that is missing", () => {
    deepStrictEqual(
      ["lapidary plan nano16 --serch", "lapidary halp", "lapidary up && lapidary ckpt verify"].map((line) => calledBy(line).join("; ")),
      [
        "LAP_CLI_OPTION (lapidary plan): there is no option --serch",
        'LAP_CLI_COMMAND (lapidary): there is no command "halp"',
        "lapidary up; LAP_CLI_ARGUMENT (lapidary ckpt verify): the argument from is missing",
      ],
    );
  });
});
