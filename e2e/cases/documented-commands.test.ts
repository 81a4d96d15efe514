import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type Call, type CommandSpec, commandTree, parseCommandLine } from "@lapidary/cli";
import { LapidaryError } from "@lapidary/std";
import { jobJsonSchema, resolveJob } from "@lapidary/training";
import { isPipeline, readJobText, resolvePipeline } from "@lapidary/training/job";
import { Home, root } from "../support/cli.js";
import { codeIn, commandsIn, type DocumentedCommand, documentedCommands, documents, shownTexts } from "../support/documented.js";

const style = { columns: 100, title: (text: string): string => text };

/** Whether a word is a placeholder: `RUN`, `DIR`, `ID`, or `X` for a value that a program inserts. */
const isPlaceholder = (word: string): boolean => /^[A-Z]+$/.test(word) || word === "job.yaml" || word.includes("=X");

/** The call, or the problem of the command. A mention in a sentence may omit arguments and values. */
function callOf({ words, isWhole }: DocumentedCommand): Call | string {
  // Placeholders become a command or a number.
  const filled = words.map((word, i) =>
    word === "COMMAND" ? "plan" : /^[A-Z]$/.test(word) && words[i - 1]?.startsWith("--") === true ? "1" : word,
  );
  try {
    return parseCommandLine(commandTree, "0.0.0", filled, style);
  } catch (error) {
    if (!(error instanceof LapidaryError)) throw error;
    const isShort = error.message.includes("missing") || error.message.includes("needs a value");
    return !isWhole && isShort
      ? { kind: "print", text: "", globals: { json: false, quiet: false, verbose: false, color: false, home: undefined } }
      : error.message;
  }
}

/** The problem of the job of a command with its overrides; undefined if there is none, or if the job is a placeholder. */
function jobProblem(call: Call): string | undefined {
  if (
    call.kind === "print" ||
    !["launch", "plan", "explain", "trace", "export", "config show"].includes(call.command.replace("lapidary ", ""))
  )
    return undefined;
  const { args } = call;
  const job = args.text("job") ?? args.text("subject") ?? "";
  if (isPlaceholder(job) || job === "") return undefined;
  const overrides = [...args.list("overrides"), ...args.list("words").filter((word) => word.includes("="))].filter(
    (word) => !isPlaceholder(word),
  );
  // A step file has no keys. The test of the commands that need no run executes its command lines.
  if (job.endsWith(".mlir")) return existsSync(join(root, job)) ? undefined : `there is no step ${job}`;
  const named = join(root, "configs/jobs", `${job}.yaml`);
  if (!existsSync(named) && !existsSync(join(root, job))) return call.command === "lapidary trace" ? undefined : `there is no job ${job}`;
  try {
    const text = readJobText(existsSync(named) ? named : job, root);
    const environment = { configsDir: join(root, "configs"), base: root };
    if (call.command === "lapidary launch" && isPipeline(text)) resolvePipeline(text, overrides, environment);
    else resolveJob(text, overrides, environment);
    return undefined;
  } catch (error) {
    return error instanceof LapidaryError ? `${error.message} (${error.location})` : String(error);
  }
}

const problemsOf = (commands: readonly DocumentedCommand[]): string[] =>
  commands.flatMap((command) => {
    const call = callOf(command);
    const problem = typeof call === "string" ? call : jobProblem(call);
    return problem === undefined ? [] : [`${command.place}: ${command.text}: ${problem}`];
  });

/** Every dotted key of a job file, and every prefix of a key. */
function jobKeys(): Set<string> {
  const keys = new Set<string>();
  const visit = (schema: unknown, prefix: string): void => {
    const {
      properties = {},
      anyOf = [],
      oneOf = [],
    } = schema as { properties?: Record<string, unknown>; anyOf?: unknown[]; oneOf?: unknown[] };
    for (const option of [...anyOf, ...oneOf]) visit(option, prefix);
    for (const [key, inner] of Object.entries(properties)) {
      keys.add(prefix + key);
      visit(inner, `${prefix}${key}.`);
    }
  };
  visit(jobJsonSchema(), "");
  return keys;
}

/** Dotted words of a text that begin with a key of job files: `train.optimizer.lr`. */
const dottedKeys = (text: string, keys: ReadonlySet<string>): string[] =>
  [...text.matchAll(/(?<![\w./@-])([a-z_]+(?:\.[a-z_]+)+)(?![\w/(.-])/g)]
    .map(([, word = ""]) => word)
    .filter((word) => keys.has(word.split(".")[0] ?? "") && !/\.(ya?ml|jsonl?|py|ts|mjs|md|csv|txt|bin|safetensors)$/.test(word));

/** Keys below these prefixes are names of mesh axes and logical axes, which users choose. */
const isOpen = (key: string): boolean => /^(mesh|rules)\./.test(key);

describe("case 101: commands that the documentation names", function () {
  this.timeout(240_000);
  const home = new Home();
  const keys = jobKeys();

  before(() => {
    for (const name of ["configs", "e2e"]) symlinkSync(join(root, name), join(home.directory, name));
  });
  after(() => home.clear());

  for (const words of [[], ["plan"], ["jobs"], ["jobs", "resume"], ["ckpt", "export"]])
    it(`\`lapidary ${["help", ...words].join(" ")}\` prints what --help prints`, async () => {
      const [help, flag] = await Promise.all([home.run("help", ...words), home.run(...words, "--help")]);
      deepStrictEqual([help.code, help.stderr], [0, ""]);
      strictEqual(help.stdout, flag.stdout);
      ok(help.stdout.startsWith("Usage: lapidary"));
    });

  it("`lapidary help` suggests a similar command for an unknown one", async () => {
    const { code, stderr } = await home.run("help", "plam");
    strictEqual(code, 2);
    ok(stderr.includes('LAP_CLI_COMMAND: there is no command "plam"') && stderr.includes('did you mean "plan"?'), stderr);
  });

  it("the test finds commands in the README, and reports those that do not exist", () => {
    const found = documentedCommands().map(({ text }) => text);
    for (const text of [
      "lapidary help COMMAND",
      "lapidary down",
      'lapidary sample quickstart-1 "export function"',
      "lapidary plan configs/jobs/gemma-7b.yaml --html plan.html",
    ])
      ok(found.includes(text), text);
    const wrong = [
      "lapidary halp plan",
      "lapidary plan --serch configs/jobs/nano16.yaml",
      "lapidary plan configs/jobs/none.yaml",
      "lapidary launch nano16 train.step=5",
      "lapidary up --port",
    ];
    strictEqual(problemsOf(wrong.flatMap((text) => commandsIn(text, "here", true))).length, wrong.length);
  });

  it("every command, option, job file and job key of the documentation exists", () => {
    deepStrictEqual(problemsOf(documentedCommands()), []);
  });

  it("every command line of the documentation that needs no run works as described", async () => {
    const ends: string[] = [];
    const known = new Set<string>();
    for (const command of documentedCommands().filter(needsNoRun)) {
      // Runs each command once per family of models. The other lines differ only in options, which the tests above parse.
      const subject = command.words
        .slice(0, 2)
        .join(" ")
        .replace(/\S*(nano|gemma|\.mlir)\S*/, "$1");
      if (known.has(subject)) continue;
      known.add(subject);
      const words = command.words.map((word) => (word === "COMMAND" ? "plan" : word));
      const { code, stderr } = await home.run(...words);
      if (code !== 0 && code !== 4) ends.push(`${command.place}: ${command.text} exits with ${code}: ${stderr}`);
    }
    deepStrictEqual(ends, []);
    ok(known.size >= 6, [...known].join(", "));
  });

  it("examples in the help of commands name things that exist", () => {
    const examplesOf = (spec: CommandSpec): string[] => [...(spec.examples ?? []), ...(spec.commands ?? []).flatMap(examplesOf)];
    const commands = examplesOf(commandTree).flatMap((line) => commandsIn(line, "tree.ts", true));
    ok(commands.length > 10);
    deepStrictEqual(problemsOf(commands), []);
  });

  it("job keys in the documentation exist", () => {
    const wrong = documents().flatMap((file) =>
      codeIn(file).flatMap(({ place, code }) =>
        dottedKeys(code, keys).flatMap((key) => (keys.has(key) || isOpen(key) ? [] : [`${place}: ${key}`])),
      ),
    );
    deepStrictEqual(wrong, []);
  });

  it("scripts, files and variables in the documentation exist", () => {
    deepStrictEqual(
      documents().flatMap((file) => codeIn(file).flatMap(({ place, code }) => missingIn(code).map((what) => `${place}: ${what}`))),
      [],
    );
  });
});

/** Commands that only read files. Excludes searches, which take half a minute, and comparisons, which download other compilers. */
function needsNoRun({ words, isWhole, text }: DocumentedCommand): boolean {
  const [command = "", subject = ""] = words;
  if (["help", "completion", "version", "config"].includes(command)) return isWhole || command === "help" || subject === "schema";
  if (!isWhole || isPlaceholder(subject) || /--search|--compare|--diff -o|data\.corpus=/.test(text)) return false;
  return command === "explain" || command === "plan" || (command === "trace" && subject.includes("nano")) || command === "export";
}

describe("remedies of errors and warnings", function () {
  this.timeout(120_000);
  const keys = jobKeys();
  const texts = shownTexts();

  it("remedies name commands and options that exist", () => {
    const commands = texts.flatMap(({ place, text }) =>
      [...text.matchAll(/`([^`]*)`/g)].flatMap(([, code = ""]) => commandsIn(code, place, false)),
    );
    ok(commands.length > 40, String(commands.length));
    deepStrictEqual(problemsOf(commands), []);
  });

  it("remedies name job keys that exist, by their names in job files", () => {
    const remedies = texts.filter(({ isRemedy }) => isRemedy);
    ok(remedies.length > 150, String(remedies.length));
    const wrong = remedies.flatMap(({ place, text }) => [
      ...dottedKeys(text, keys).flatMap((key) => (keys.has(key) || isOpen(key) ? [] : [`${place}: ${key}`])),
      ...[...text.matchAll(/(?<![\w./-])[a-z]+[A-Z]\w+/g)].map(([word]) => `${place}: ${word}, which is no key of a job file`),
    ]);
    deepStrictEqual(wrong, []);
  });

  it("remedies name scripts, files, variables and options that exist", () => {
    const wrong = texts
      .filter(({ isRemedy }) => isRemedy)
      .flatMap(({ place, text }) =>
        [
          ...missingIn(text),
          ...[...text.matchAll(/(?<![\w./])(?:configs|packages|tools|docs|e2e)\/[\w./-]*\w/g)].flatMap(([path]) =>
            existsSync(join(root, path)) || path.endsWith("X") ? [] : [path],
          ),
          ...[...text.matchAll(/(?<![\w-])--[a-z][a-z_-]+/g)].flatMap(([flag]) => (options.has(flag) || ofOthers.has(flag) ? [] : [flag])),
        ].map((what) => `${place}: ${what}`),
      );
    deepStrictEqual(wrong, []);
  });
});

/** Options of other programs that remedies name: redis-check-aof, node, pip, the tools of the project. */
const ofOthers: ReadonlySet<string> = new Set([
  "--fix",
  "--max-old-space-size",
  "--user",
  "--no-deps",
  "--safe_serialization",
  "--package",
  "--survivors",
]);

/** Scripts of npm, tools and variables that a text names but that do not exist. */
function missingIn(text: string): string[] {
  return [
    ...[...text.matchAll(/npm run ([\w:.-]+)(?: -w @lapidary\/(\w+))?/g)].flatMap(([whole, name = "", workspace]) =>
      name in scriptsOf(workspace === undefined ? "package.json" : `packages/${workspace}/package.json`) ? [] : [whole],
    ),
    ...[...text.matchAll(/node (tools\/[\w./-]+\.mjs)/g)].flatMap(([whole, path = ""]) => (existsSync(join(root, path)) ? [] : [whole])),
    ...[...text.matchAll(/\bLAPIDARY_[A-Z_]+\b/g)].flatMap(([name]) => (sources.includes(name) ? [] : [name])),
  ];
}

const scriptsOf = (path: string): Record<string, string> =>
  (JSON.parse(readFileSync(join(root, path), "utf8")) as { scripts?: Record<string, string> }).scripts ?? {};

/** All source text of the project. */
const sources = ["packages", "tools", "e2e/support"]
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|mjs|py|cc|sh)$/.test(name) && !/(^|\/)(node_modules|dist)\//.test(name))
      .map((name) => readFileSync(join(root, folder, name), "utf8")),
  )
  .join("\n");

/** Long names of every option of every command. */
const options: ReadonlySet<string> = new Set(
  (function optionsOf(spec: CommandSpec): string[] {
    return [
      ...(spec.options ?? []).flatMap(({ flags }) => /--[a-z-]+/.exec(flags)?.[0] ?? []),
      ...(spec.commands ?? []).flatMap(optionsOf),
    ];
  })(commandTree).concat("--json", "--quiet", "--verbose", "--no-color", "--home", "--help", "--version"),
);
