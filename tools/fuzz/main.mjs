#!/usr/bin/env node
/**
 * `npm run fuzz`: draws N hostile inputs (100,000), the same number for each fuzz target. Exits with 1 if a target answers an input with anything but a value
 * or a `LapidaryError`. Prints a failure in its smallest form, with a command that repeats it.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { readFlags } from "../flags.mjs";
import { openTargets } from "./fuzz-targets.mjs";

const { values } = readFlags(
  `npm run fuzz -- [--cases N] [--only TARGET] [--seed N]      N inputs (100000), the same number for each target, or for the targets with TARGET in their name
npm run fuzz -- --only TARGET --seed N --path PATH         repeats a failure`,
  {
    cases: { type: "count", default: "100000" },
    only: { type: "string", default: "" },
    seed: { type: "number" },
    path: { type: "string" },
  },
);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
setFlagsFromString("--expose-gc");
const collect = /** @type {() => void} */ (runInNewContext("gc"));

/** Memory in use after garbage collection. */
function memory() {
  collect();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return `${megabytes(heapUsed + arrayBuffers)} used, ${megabytes(rss)} resident`;
}
const megabytes = (/** @type {number} */ bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

const opened = await openTargets();
const targets = opened.targets.filter(({ name }) => name.includes(values.only));
if (targets.length === 0) throw new Error(`no fuzz target is named ${values.only}: ${opened.targets.map(({ name }) => name).join(", ")}`);
const each = Math.ceil(Number(values.cases) / targets.length);
let failures = 0;
process.stdout.write(`seed ${seed}, ${targets.length} targets, ${each} inputs each\n`);
for (const { name, property } of targets) {
  // The first inputs fill caches and compile code. After them memory must not grow.
  if (values.path === undefined) await fc.check(property, { numRuns: Math.min(500, each), seed: seed + 1 });
  const before = memory();
  const start = performance.now();
  const details = await fc.check(property, { numRuns: each, seed, ...(values.path === undefined ? {} : { path: values.path }) });
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(
    `${details.failed ? "✘" : "✔"} ${name}: ${details.numRuns} inputs, ${Math.round(details.numRuns / seconds)} a second; before ${before}; after ${memory()}\n`,
  );
  if (!details.failed) continue;
  failures++;
  process.stdout.write(
    `    ${fc.stringify(details.counterexample)}\n    ${/** @type {any} */ (details.errorInstance)?.stack ?? ""}\n    repeat: npm run fuzz -- --only ${JSON.stringify(name)} --seed ${details.seed} --path ${details.counterexamplePath}\n`,
  );
}
await opened.close();
process.stdout.write(failures === 0 ? "every input was answered with a value or an error with a code\n" : `${failures} targets failed\n`);
process.exitCode = failures === 0 ? 0 : 1;
