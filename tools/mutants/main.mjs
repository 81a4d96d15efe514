#!/usr/bin/env node
/**
 * `npm run mutants`: plants mistakes of one expression in the built code of a package and runs its tests against each, with StrykerJS.
 * Prints the share that the tests notice, and writes the survivors to a file. Exits with 1 if the share is below the package's goal.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { provideCachedPackages } from "../cached-packages.mjs";
import { readFlags } from "../flags.mjs";
import { underSession } from "../setup/main.mjs";
import { Session, SetupError } from "../setup/session.mjs";
import { makeSandbox } from "./sandbox.mjs";
import { readReport, resultText } from "./survivors.mjs";
import { targets } from "./targets.mjs";

const { values } = readFlags(
  `npm run mutants -- --package NAME [--files GLOB] [--tests LIST] [--sample PERCENT] [--seed N] [--survivors]
                                             [--concurrency N]
                             NAME: ${Object.keys(targets).join(", ")}
                             GLOB: files of the package's dist instead of those of the target, such as 'ops/shape.js'
                             LIST: tests instead of those of the target, joined by commas, such as 'compiler/lower'
                             PERCENT: plants a random part of the mutants; the same part in each run with one seed
                             --survivors: plants only the survivors of the last run again, such as after new tests`,
  {
    package: { type: "string", default: "", among: Object.keys(targets) },
    files: { type: "string", default: "" },
    tests: { type: "string", default: "" },
    sample: { type: "number", default: "100" },
    seed: { type: "number", default: "1" },
    survivors: { type: "boolean", default: false },
    concurrency: { type: "count", default: String(availableParallelism()) },
  },
);

const session = new Session();
const here = join(session.root, "tools/mutants");
const directory = join(session.root, ".lapidary/mutants");
/** The keys of the last survivors: see `keyOf`. */
const keysFile = join(directory, `${values.package}.json`);

/** @returns {import("./sample.mjs").Choice} */
function choice() {
  const drawn = { seed: Number(values.seed), share: Number(values.sample) / 100 };
  if (!values.survivors) return drawn;
  if (existsSync(keysFile)) return { ...drawn, keys: JSON.parse(readFileSync(keysFile, "utf8")) };
  throw new SetupError({
    code: "LAP_TOOL_USAGE",
    message: `no run of ${values.package} has stored survivors`,
    remedy: `run without --survivors first: npm run mutants -- --package ${values.package}`,
  });
}

/**
 * @param {string} stryker
 * @param {string} sandbox
 * @param {import("./targets.mjs").Target} target
 * @param {import("./sample.mjs").Choice} chosen
 */
function configuration(stryker, sandbox, target, chosen) {
  const dist = `packages/${target.package}/dist`;
  const files = values.files === "" ? (target.files ?? ["**/*.js"]) : [values.files];
  const inFiles = files.map((glob) => `${dist}/${glob.endsWith(".js") ? glob : `${glob}/*.js`}`);
  return {
    testRunner: "mocha",
    plugins: [
      join(stryker, "node_modules/@stryker-mutator/mocha-runner/dist/src/index.js"),
      join(here, "ignore-messages.mjs"),
      join(here, "sample.mjs"),
    ],
    ignorers: ["messages"],
    checkers: ["sample"],
    mutantChoice: chosen,
    mutate: [...inFiles, `!${dist}/**/*.test.js`, `!${dist}/testing/**`],
    mochaOptions: {
      spec: (values.tests === "" ? target.tests : values.tests.split(",")).map((tests) => {
        const [name, ...path] = tests.split("/");
        return ["packages", name, "dist", ...path, ...(tests.endsWith(".js") ? [] : ["**/*.test.js"])].join("/");
      }),
      require: [join(session.root, "tools/test/seed.mjs")],
    },
    // The sandbox is a copy already. Only the mutated files are written, because the sandbox has links to the project.
    inPlace: true,
    disableTypeChecks: false,
    coverageAnalysis: "perTest",
    // A mutant in code that runs once, at import, needs a process of its own: these are not run.
    ignoreStatic: true,
    concurrency: Number(values.concurrency),
    // Generous, because a mutant that is slow on a busy machine must not count as killed.
    timeoutMS: 20_000,
    timeoutFactor: 4,
    reporters: ["json", "progress-append-only"],
    jsonReporter: { fileName: join(sandbox, "report.json") },
    warnings: false,
    cleanTempDir: "always",
  };
}

const target = targets[values.package];
if (target === undefined) {
  process.stderr.write("error LAP_TOOL_USAGE: --package is missing\n    remedy: npm run mutants -- --help\n");
  process.exit(2);
}
const ok = await underSession(session, async () => {
  const chosen = choice();
  const stryker = await provideCachedPackages(session, "mutants");
  const sandbox = makeSandbox(session.root);
  session.unfinished.add(sandbox);
  try {
    const config = join(sandbox, "stryker.config.json");
    writeFileSync(config, JSON.stringify(configuration(stryker, sandbox, target, chosen)));
    const bin = join(stryker, "node_modules/@stryker-mutator/core/bin/stryker.js");
    const task = session.report.begin("mutants", values.package);
    const onLine = (/** @type {string} */ line) => {
      const at = line.indexOf("Mutation testing");
      if (at >= 0) task.update(line.slice(at));
    };
    const run = await session.run(process.execPath, [bin, "run", config], { cwd: sandbox, onLine });
    task.end();
    if (run.code !== 0)
      throw new SetupError({
        code: "LAP_TOOL_MUTANTS",
        message: "StrykerJS stopped before its report",
        output: run.tail,
        remedy: `run the tests without mutants: npm test ${target.tests.join(" ")}`,
      });
    const report = JSON.parse(readFileSync(join(sandbox, "report.json"), "utf8"));
    const equivalent = JSON.parse(readFileSync(join(here, "equivalent.json"), "utf8"));
    const result = readReport(session.root, report, equivalent);
    const text = resultText(values.package, result);
    mkdirSync(directory, { recursive: true });
    const file = join(directory, `${values.package}.txt`);
    writeFileSync(file, text);
    writeFileSync(keysFile, JSON.stringify(result.survivors.map(({ key }) => key)));
    process.stdout.write(`${text.split("\n")[0]}\nsurvivors: ${file}\n`);
    if (result.score < target.goal) {
      process.stdout.write(`the goal is ${target.goal} %\n`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(sandbox, { recursive: true, force: true });
    session.unfinished.delete(sandbox);
  }
});
if (!ok) process.exitCode = 1;
