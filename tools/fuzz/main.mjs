#!/usr/bin/env node
/**
 * `npm run fuzz`: draws N hostile cases (100,000), the same number for each door through which bytes come
 * in, and ends with 1 if one is met with anything but a value or an error of ours. A failure is printed, shrunk, with what replays it.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { readFlags } from "../flags.mjs";
import { openDoors } from "./doors.mjs";

const { values } = readFlags(
  `npm run fuzz -- [--cases N] [--only DOOR] [--seed N]      N cases (100000), the same number for each door, or for those with DOOR in their name
npm run fuzz -- --only DOOR --seed N --path PATH         a failure again, as it was printed`,
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

/** What is held once all that can go is gone. */
function memory() {
  collect();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return `${megabytes(heapUsed + arrayBuffers)} held, ${megabytes(rss)} of the process`;
}
const megabytes = (/** @type {number} */ bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

const opened = await openDoors();
const doors = opened.doors.filter(({ name }) => name.includes(values.only));
if (doors.length === 0) throw new Error(`no door is named ${values.only}: ${opened.doors.map(({ name }) => name).join(", ")}`);
const each = Math.ceil(Number(values.cases) / doors.length);
let failures = 0;
process.stdout.write(`seed ${seed}, ${doors.length} doors, ${each} cases each\n`);
for (const { name, property } of doors) {
  // What is drawn first makes caches and compiled code; from then on memory must stay.
  if (values.path === undefined) await fc.check(property, { numRuns: Math.min(500, each), seed: seed + 1 });
  const before = memory();
  const began = performance.now();
  const details = await fc.check(property, { numRuns: each, seed, ...(values.path === undefined ? {} : { path: values.path }) });
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(
    `${details.failed ? "✘" : "✔"} ${name}: ${details.numRuns} cases, ${Math.round(details.numRuns / seconds)} a second; at first ${before}; at the end ${memory()}\n`,
  );
  if (!details.failed) continue;
  failures++;
  process.stdout.write(
    `    ${fc.stringify(details.counterexample)}\n    ${/** @type {any} */ (details.errorInstance)?.stack ?? ""}\n    again: npm run fuzz -- --only ${JSON.stringify(name)} --seed ${details.seed} --path ${details.counterexamplePath}\n`,
  );
}
await opened.close();
process.stdout.write(failures === 0 ? "every case was met with a value or an error of ours\n" : `${failures} doors failed\n`);
process.exitCode = failures === 0 ? 0 : 1;
