import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Report } from "../setup/report.mjs";
import { projectRoot, Session } from "../setup/session.mjs";
import { findGroups, runGroup } from "./groups.mjs";

describe("the test runner", () => {
  /** @type {string} */
  let root;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "lapidary-runner-"));
    symlinkSync(join(projectRoot, "node_modules"), join(root, "node_modules"));
    symlinkSync(join(projectRoot, "tools"), join(root, "tools"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** @param {string} path @param {string} text */
  const write = (path, text) => {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  /** @param {string} text the tests of one group @param {NodeJS.ProcessEnv} [env] */
  const outcomeOf = async (text, env = {}) => {
    const file = write("some.test.mjs", text);
    const session = new Session({ root, report: new Report({ quiet: true }), env: { ...process.env, ...env } });
    const { passed, failures, skipped, properties, processor_s } = await runGroup(
      session,
      { name: "some", alone: false, files: [file] },
      1000,
    );
    const messages = failures.map(({ message }) => message).join("\n");
    return { passed, failures: failures.map(({ title }) => title), messages, skipped, properties, processor_s };
  };

  it("every test of e2e is compiled and is in a group of a release", () => {
    const sources = readdirSync(join(projectRoot, "e2e"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `e2e/${name.replace(/\.test\.ts$/, "")}`);
    const groups = new Set(findGroups(projectRoot, true).map(({ name }) => name));
    assert.ok(sources.includes("e2e/release/node-22"));
    assert.deepEqual(
      sources.filter((name) => !groups.has(name)),
      [],
    );
  });

  it("the test runner has a group for each package and for each e2e file", () => {
    rmSync(join(root, "tools"));
    for (const file of [
      "packages/a/package.json",
      "packages/a/dist/deep/x.test.js",
      "packages/b/package.json",
      "e2e/dist/one.test.js",
      "e2e/dist/two.test.js",
    ])
      write(file, "{}");
    assert.deepEqual(
      findGroups(root).map(({ name }) => name),
      ["a", "e2e/one", "e2e/two"],
    );
  });

  it("the test runner has the groups of a release only if they are wanted", () => {
    rmSync(join(root, "tools"));
    for (const file of ["packages/a/package.json", "e2e/dist/one.test.js", "e2e/dist/release/long.test.js"]) write(file, "{}");
    const namesOf = (/** @type {boolean | undefined} */ withRelease) => findGroups(root, withRelease).map(({ name }) => name);
    assert.deepEqual([namesOf(undefined), namesOf(true)], [["e2e/one"], ["e2e/one", "e2e/release/long"]]);
  });

  it("the test runner splits a package of many files into groups that have each file once", () => {
    rmSync(join(root, "tools"));
    write("packages/a/package.json", "{}");
    for (let i = 10; i < 43; i++) write(`packages/a/dist/${i}.test.js`, "");
    const groups = findGroups(root);
    assert.deepEqual(
      groups.map(({ name, files }) => [name, files.length]),
      [
        ["a/1", 11],
        ["a/2", 11],
        ["a/3", 11],
      ],
    );
    assert.equal(new Set(groups.flatMap(({ files }) => files)).size, 33);
  });

  it("the test runner counts tests that pass and that fail", async () => {
    const { passed, failures } = await outcomeOf('it("a", () => {}); it("b", () => { throw new Error("no"); }); it("c", () => {});');
    assert.deepEqual({ passed, failures }, { passed: 2, failures: ["b"] });
  });

  it("the test runner counts a crash as a failure, and keeps the tests that passed before", async () => {
    const { passed, failures } = await outcomeOf('it("a", () => {}); it("b", () => process.exit(0));');
    assert.deepEqual({ passed, failures }, { passed: 1, failures: ["some: the tests did not run to their end"] });
  });

  it("the test runner counts a file that does not load as a failure", async () => {
    const { failures, messages } = await outcomeOf('import "no-such-package"; it("a", () => {});');
    assert.deepEqual(failures, ["some: the tests did not run to their end"]);
    assert.match(messages, /no-such-package/);
  });

  it("the test runner names the tests that are skipped, also by a hook of their suite", async () => {
    const { passed, failures, skipped } = await outcomeOf(
      'it("a", () => {}); it("b", function () { this.skip(); }); describe("s", () => { before(function () { this.skip(); }); it("c", () => {}); });',
    );
    assert.deepEqual({ passed, failures, skipped }, { passed: 1, failures: [], skipped: ["b", "s c"] });
  });

  it("the test runner counts the cases that a property compared, without those that it rejected", async () => {
    const { properties, failures } = await outcomeOf(
      `import fc from "fast-check";
       it("even", () => fc.assert(fc.property(fc.nat(), (n) => { fc.pre(n % 2 === 0); }), { numRuns: 30 }));
       it("async", () => fc.assert(fc.asyncProperty(fc.nat(), async () => {}), { numRuns: 7 }));`,
    );
    assert.deepEqual(failures, []);
    assert.deepEqual(
      properties.map(({ title, cases, rejected }) => [title, cases, rejected > 0]),
      [
        ["even", 30, true],
        ["async", 7, false],
      ],
    );
  });

  it("a property fails with its seed and its case if a case fails, if all are rejected, or if it draws none", async () => {
    const { failures, messages } = await outcomeOf(
      `import fc from "fast-check";
       it("wrong", () => fc.assert(fc.property(fc.nat(), (n) => n < 5)));
       it("wrong later", () => fc.assert(fc.asyncProperty(fc.nat(), async (n) => { if (n >= 5) throw new Error("above four"); })));
       it("rejects all", () => fc.assert(fc.property(fc.nat(), () => fc.pre(false))));
       it("draws none", () => fc.assert(fc.property(fc.nat(), () => true), { numRuns: 0 }));`,
    );
    assert.deepEqual(failures, ["wrong", "wrong later", "rejects all", "draws none"]);
    assert.equal(messages.match(/seed: 20261124/g)?.length, 3);
    assert.match(messages, /Counterexample: \[5\][^]*The case failed with Error: above four[^]*compared no case/);
  });

  it("a case that a fresh seed finds is saved as a file, and every later run replays it until it holds", async () => {
    const env = { LAPIDARY_REGRESSIONS: join(root, "regressions") };
    const seeds = { ...env, LAPIDARY_TEST_SEED: "random", LAPIDARY_PROPERTY_RUNS: "3000" };
    // One case in 200 fails, and none near the limits, which fast-check prefers: almost surely one of 3000, and none of the 3 that the usual run draws.
    const text = (/** @type {string} */ rule) =>
      `import fc from "fast-check"; it("usual", () => fc.assert(fc.property(fc.integer({ min: 1e6, max: 1e9 }), (n) => ${rule})));`;
    const found = await outcomeOf(text("n % 200 !== 137"), seeds);
    assert.deepEqual(found.failures, ["usual"]);
    const [file, ...others] = readdirSync(env.LAPIDARY_REGRESSIONS);
    assert.deepEqual(others, []);
    assert.ok(found.messages.includes(`Regression: ${join(env.LAPIDARY_REGRESSIONS, file ?? "")}`), found.messages);

    const few = { ...env, LAPIDARY_PROPERTY_RUNS: "3" };
    const again = await outcomeOf(text("n % 200 !== 137"), few);
    assert.equal(again.passed, 1, again.messages);
    assert.match(again.failures.join(), /^usual \(regression -?\d+:\d+\)$/);
    const mended = await outcomeOf(text("n >= 0"), few);
    assert.deepEqual([mended.passed, mended.failures], [2, []]);
    // The seed of the other tests of the file is the usual one again.
    assert.deepEqual(
      mended.properties.map(({ seed }) => seed === 20261124),
      [true, false],
    );
    const renamed = await outcomeOf(text("n >= 0").replace("usual", "renamed"), few);
    assert.match(renamed.messages, /names a test that some\.test\.mjs does not have: "usual"/);
  });

  it("the test runner reports the processor time of a group with its child processes", async () => {
    const { failures, processor_s } = await outcomeOf(
      `import { spawnSync } from "node:child_process";
       it("a", () => { spawnSync(process.execPath, ["-e", "while (process.cpuUsage().user < 5e5);"]); });`,
    );
    const idle = await outcomeOf('it("a", () => {});');
    assert.deepEqual(failures, []);
    assert.ok(processor_s > idle.processor_s + 0.25 && idle.processor_s > 0, `${processor_s} ${idle.processor_s}`);
  });

  it("a slow test passes, because the limit of its file only ends tests that hang", async () => {
    const { passed, failures } = await outcomeOf(
      `const slow = () => new Promise((resolve) => setTimeout(resolve, 60));
       describe("s", function () { this.timeout(20); before(slow); it("a", slow); it("b", function () { return slow(); }).timeout(10); });`,
    );
    assert.deepEqual({ passed, failures }, { passed: 2, failures: [] });
  });

  it("the test runner ends and names a process that a test leaves", async () => {
    const { passed, failures, messages } = await outcomeOf(
      'import { spawn } from "node:child_process"; it("a", () => { spawn("sleep", ["600"], { stdio: "inherit" }).unref(); });',
    );
    assert.deepEqual({ passed, failures }, { passed: 1, failures: ["some: processes were left running"] });
    assert.match(messages, /sleep 600/);
  });
});
