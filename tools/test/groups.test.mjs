import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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
  /** @param {string} text the tests of one group */
  const outcomeOf = async (text) => {
    const file = write("some.test.mjs", text);
    const session = new Session({ root, report: new Report({ quiet: true }) });
    const { passed, failures } = await runGroup(session, { name: "some", alone: false, files: [file] });
    return { passed, failures: failures.map(({ title }) => title), messages: failures.map(({ message }) => message).join("\n") };
  };

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

  it("the test runner ends and names a process that a test leaves", async () => {
    const { passed, failures, messages } = await outcomeOf(
      'import { spawn } from "node:child_process"; it("a", () => { spawn("sleep", ["600"], { stdio: "inherit" }).unref(); });',
    );
    assert.deepEqual({ passed, failures }, { passed: 1, failures: ["some: processes were left running"] });
    assert.match(messages, /sleep 600/);
  });
});
