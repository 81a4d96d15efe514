import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { globalOptions } from "../command-line/global-options.js";
import type { CommandSpec, OptionSpec } from "../command-line/spec.js";
import { projectRoot } from "../context.js";
import { type RanCommand, runInDirectory } from "../testing/run-command-line.js";
import { commandTree } from "../tree.js";
import { checkOutput, GrowingOutput, writeOutputFile } from "./output.js";

const tiny = join(projectRoot, "e2e/cases/common/tiny.yaml");
const checkpoint = join(projectRoot, "e2e/golden/mqa");

/** For every option that names an output, a command line that would write it; PLACE stands for the output. */
const commandLines: Readonly<Record<string, readonly string[]>> = {
  "--home": ["up", "--home", "PLACE"],
  "launch --tensorboard": ["launch", tiny, "--tensorboard", "PLACE"],
  "export --output": ["export", tiny, "-o", "PLACE"],
  "plan --write": ["plan", tiny, "--search", "--write", "PLACE"],
  "plan --html": ["plan", tiny, "--html", "PLACE"],
  "compile --hlo": ["compile", tiny, "--hlo", "PLACE"],
  "compile --html": ["compile", tiny, "--html", "PLACE"],
  "trace --output": ["trace", tiny, "-o", "PLACE"],
  "export-run --output": ["export-run", "run", "-o", "PLACE"],
  "export-run --tensorboard": ["export-run", "run", "--tensorboard", "PLACE"],
  "export-run --jsonl": ["export-run", "run", "--jsonl", "PLACE"],
  "compare --out": ["compare", checkpoint, checkpoint, "--data", "file", "--out", "PLACE"],
  "data classifier --output": ["data", "classifier", "file", "-o", "PLACE"],
  "data bench --out": ["data", "bench", "--stage", "filters", "--out", "PLACE"],
  "data ablate --output": ["data", "ablate", "file", "-o", "PLACE"],
  "data train-filter --output": ["data", "train-filter", "file", "-o", "PLACE"],
  "data judge --output": ["data", "judge", "memorisation", "file", "-o", "PLACE"],
  "data tokenizer --output": ["data", "tokenizer", "file", "-o", "PLACE"],
  "data filter --output": ["data", "filter", "file", "-o", "PLACE"],
  "data filter --removed": ["data", "filter", "file", "-o", "kept.jsonl", "--removed", "PLACE"],
  "ckpt export --output": ["ckpt", "export", checkpoint, "-o", "PLACE"],
};

interface Named {
  readonly name: string;
  readonly option: OptionSpec;
}

const longOf = ({ flags }: OptionSpec): string => /--[a-z-]+/.exec(flags)?.[0] ?? flags;

function optionsOf(spec: CommandSpec, path: readonly string[] = []): Named[] {
  return [
    ...(spec.options ?? []).map((option) => ({ name: [...path, longOf(option)].join(" "), option })),
    ...(spec.commands ?? []).flatMap((child) => optionsOf(child, [...path, child.name])),
  ];
}

const options = [...optionsOf(commandTree), ...globalOptions.map((option) => ({ name: longOf(option), option }))];
const outputs = options.filter(({ option }) => option.access === "write");

describe("outputs of all commands", function () {
  this.timeout(60_000);
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-output-"));
    writeFileSync(join(directory, "file"), "mine");
    mkdirSync(join(directory, "folder"));
    symlinkSync("loop", join(directory, "loop"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const run = (words: readonly string[]): Promise<RanCommand> => runInDirectory(directory, words);

  it("every option with a file or directory declares its access, and every output has a command line in this test", () => {
    for (const { name, option } of options)
      if (option.completes === "file" || option.completes === "directory" || /<(file|dir|directory|path)>/.test(option.flags))
        ok(option.access !== undefined, `${name}: set access: "read" or "write"`);
    deepStrictEqual(outputs.map(({ name }) => name).sort(), Object.keys(commandLines).sort());
  });

  for (const { name, option } of outputs) {
    const wrongKind = option.completes === "file" ? "folder" : "file";
    for (const place of [
      "file/x",
      "file/x/y",
      wrongKind,
      "loop",
      "x".repeat(300),
      ...(existsSync("/proc/self") ? ["/proc/nowhere/x"] : []),
    ])
      it(`${name} ${place.length > 40 ? "with a name that is too long" : place}: exit code 2, path and remedy, nothing written`, async () => {
        const before = readdirSync(directory).sort();
        const words = (commandLines[name] ?? []).map((word) => (word === "PLACE" ? place : word));
        const { exit, stdout } = await run([...words, "--json"]);
        const { error } = JSON.parse(stdout) as { error: { code: string; place: string; remedy: string; message: string } };
        strictEqual(exit, ExitCode.usage, stdout);
        match(error.code, /^LAP_(FILE_|EXPORT_OUTPUT|HOME_FILES)/);
        ok(error.place.includes(place), error.place);
        ok(error.remedy !== "" && !error.remedy.includes("bug"), error.remedy);
        deepStrictEqual(readdirSync(directory).sort(), before);
        strictEqual(readFileSync(join(directory, "file"), "utf8"), "mine");
      });
  }

  it("an unreadable input is not reported as a bug", async () => {
    mkdirSync(join(directory, "odd-home"));
    writeFileSync(join(directory, "odd-home/runs"), "a file where the directory of runs is to be");
    const { exit, stderr } = await run(["ckpt", "list", "--home", "odd-home"]);
    deepStrictEqual(
      [exit, /LAP_FILE_NOT_DIRECTORY/.test(stderr), stderr.includes(join(directory, "odd-home/runs"))],
      [2, true, true],
      stderr,
    );
    rmSync(join(directory, "odd-home"), { recursive: true });
  });

  it("no command writes a file that the user named except through `output/output.ts`", () => {
    /** Files by package that write temporary directories, into the state directory, or into a directory that `checkOutput` has checked. */
    const exempt: Readonly<Record<string, readonly string[]>> = {
      cli: ["output/output.ts"],
      offline: [
        "explain/backend-comparison.ts",
        "data/bench/bench.ts",
        "data/bench/corpus.ts",
        "data/bench/run-stage.ts",
        "data/worker.ts",
      ],
    };
    for (const [name, own] of Object.entries(exempt)) {
      const source = join(projectRoot, "packages", name, "src");
      const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
        (file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.startsWith("testing") && !own.includes(file),
      );
      const writers = files.filter((file) =>
        /\b(writeFile|writeFileSync|appendFile|appendFileSync|createWriteStream|mkdir|mkdirSync|openSync|copyFile|copyFileSync)\(/.test(
          readFileSync(join(source, file), "utf8"),
        ),
      );
      deepStrictEqual(writers, [], name);
    }
  });

  it("a failed write leaves the old file and no other file", () => {
    const path = join(directory, "kept.json");
    writeFileSync(path, "old", { mode: 0o640 });
    throws(() => writeOutputFile("/dev/full", "the trace", "new"), {
      code: "LAP_FILE_NO_SPACE",
      location: "/dev/full",
      exit: ExitCode.usage,
    });
    throws(() => writeOutputFile(join(directory, "a\0b"), "the trace", "new"), { code: "LAP_FILE_NAME" });
    writeOutputFile(path, "the trace", "new");
    deepStrictEqual([readFileSync(path, "utf8"), statSync(path).mode & 0o777], ["new", 0o640]);
    symlinkSync("kept.json", join(directory, "link"));
    writeOutputFile(join(directory, "link"), "the trace", "through the link");
    strictEqual(readFileSync(path, "utf8"), "through the link");
    writeOutputFile(join(directory, "new/folder/file"), "the trace", "x");
    ok(!readdirSync(directory).some((name) => name.endsWith(".tmp")));
  });

  it("a growing output removes an incomplete write", () => {
    const path = join(directory, "grows/events");
    const output = new GrowingOutput(path, "the events", Buffer.from("head"));
    output.append(Buffer.from(" one"));
    strictEqual(readFileSync(path, "utf8"), "head one");
    rmSync(join(directory, "grows"), { recursive: true });
    writeFileSync(join(directory, "grows"), "");
    throws(
      () => output.append(Buffer.from(" two")),
      (error) => error instanceof LapidaryError && error.code === "LAP_FILE_NOT_DIRECTORY" && error.location === path,
    );
  });

  it("checkOutput refuses a directory in place of a file, and a file in place of a directory", () => {
    throws(() => checkOutput({ kind: "file", path: directory, what: "the trace" }), { code: "LAP_FILE_IS_DIRECTORY" });
    throws(() => checkOutput({ kind: "directory", path: join(directory, "file"), what: "the export" }), { code: "LAP_FILE_NOT_DIRECTORY" });
    checkOutput({ kind: "directory", path: join(directory, "to/be/made"), what: "the export" });
    ok(!existsSync(join(directory, "to")));
  });
});
