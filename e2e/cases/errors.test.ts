import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tinyJob } from "../support/cases.js";
import { type Ended, Home, root } from "../support/cli.js";

const bin = join(root, "packages/cli/bin/lapidary.mjs");

/** Errors of the operating system or of files must not look like bugs of Lapidary, and commands must not wait forever. */
describe("errors that users can act on", function () {
  this.timeout(180_000);
  const home = new Home();
  const inHome = (...path: string[]): string => join(home.directory, ...path);

  before(async () => {
    writeFileSync(inHome("afile"), "mine");
    const up = await home.run("up", "--workers", "2");
    strictEqual(up.code, 0, up.stderr);
    const launched = await home.run("launch", tinyJob, "train.steps=2", "--name", "trained", "--quiet");
    strictEqual(launched.code, 0, launched.stderr);
  });
  after(() => home.clear());

  /** A command as a shell runs it, in the home's directory. */
  const shell = (line: string): Promise<Ended> =>
    new Promise((resolve, reject) => {
      const child = spawn("bash", ["-c", line], {
        cwd: home.directory,
        env: { ...process.env, LAPIDARY_HOME: home.state, LAPIDARY: `${process.execPath} ${bin}` },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.once("error", reject).once("close", (code) => resolve({ code, stdout, stderr }));
    });

  /** Asserts exit code 2, and an error with path and remedy that is not reported as a bug. */
  function isFileError({ code, stderr }: Ended, expected: RegExp, place: string): void {
    strictEqual(code, 2, stderr);
    match(stderr, expected);
    ok(stderr.includes(`place:  ${place}`) && /remedy: \S/.test(stderr), stderr);
    ok(!/INTERNAL|bug of Lapidary/.test(stderr), stderr);
  }

  describe("case 18: the follower of a job with infinite numbers", () => {
    it("a job file with a learning rate beyond the range of f32 is rejected", async () => {
      for (const override of ["train.optimizer.lr=1e300", "train.optimizer.lr=3.5e38", "train.optimizer.eps=1e-60"]) {
        const { code, stderr } = await home.run("launch", tinyJob, override, "--name", "huge");
        strictEqual(code, 2, stderr);
        ok(stderr.includes("LAP_CONFIG_VALUE") && stderr.includes("f32") && stderr.includes(`place:  override ${override}`), stderr);
      }
    });

    it("`launch` and every reader of a job that diverges end with its exit code", async () => {
      const launched = await home.run("launch", tinyJob, "train.optimizer.lr=3.4e38", "--name", "diverged");
      strictEqual(launched.code, 100, launched.stderr);
      match(launched.stderr, /LAP_LOSS_NOT_FINITE/);
      await everyReaderEnds("diverged", "failed");
    });

    it("every reader ends when rows are infinite, damaged, foreign or incomplete", async () => {
      const directory = join(home.state, "runs/diverged");
      const [metrics = ""] = readFileSync(join(directory, "metrics.jsonl"), "utf8").split("\n");
      const { id, ...row } = JSON.parse(metrics) as Record<string, unknown>;
      const infinite = { id, ...row, learning_rate: "Infinity", loss: "NaN", grad_norm: null };
      writeFileSync(
        join(directory, "metrics.jsonl"),
        [JSON.stringify(infinite), "\u0000\u0001garbage", '{"id":3,"kind":"of a later version"}', '{"id":'].join("\n"),
      );
      appendFileSync(join(directory, "events.jsonl"), '{"id":900,"event":"of a later version","data":{}}\nnot json\n');
      const events = await everyReaderEnds("diverged", "failed");
      match(events, /loss NaN {2}grad norm NaN {2}lr Infinity/);
      match(events, /lines 2 to 3 of metrics\.jsonl cannot be read and are left out/);
      match(events, /of events\.jsonl cannot be read/);
      const exported = await home.run("export-run", "diverged", "--jsonl", inHome("rows.jsonl"));
      strictEqual(exported.code, 0, exported.stderr);
      match(exported.stderr, /LAP_METRICS_UNREADABLE: 2 rows/);
      deepStrictEqual((JSON.parse(readFileSync(inHome("rows.jsonl"), "utf8")) as Record<string, unknown>)["learning_rate"], "Infinity");
    });

    /** What `jobs events` prints. */
    async function everyReaderEnds(run: string, state: string): Promise<string> {
      const [events, logs, waited, got, again] = await Promise.all([
        home.run("jobs", "events", run, "--follow"),
        home.run("logs", run, "--follow"),
        home.run("jobs", "wait", run),
        home.run("jobs", "get", run),
        home.run("jobs", "events", run, "--json"),
      ]);
      deepStrictEqual(
        [events.code, logs.code, waited.code, got.code, again.code],
        [0, 0, 100, 0, 0],
        events.stderr + logs.stderr + got.stderr,
      );
      match(events.stdout.trimEnd().split("\n").at(-1) ?? "", new RegExp(state));
      for (const line of again.stdout.trimEnd().split("\n")) ok(typeof (JSON.parse(line) as { id: unknown }).id === "number", line);
      return events.stdout;
    }
  });

  describe("case 96: files that cannot be written", () => {
    it("an error has path and remedy if another file has the path, or a file is in place of a directory", async () => {
      isFileError(await home.run("ckpt", "export", "trained", "-o", "afile"), /LAP_FILE_/, inHome("afile"));
      isFileError(await home.run("ckpt", "export", "trained", "-o", "afile/x"), /LAP_FILE_NOT_DIRECTORY/, inHome("afile/x"));
      isFileError(await home.run("plan", tinyJob, "--search", "--write", "afile/x.yaml"), /LAP_FILE_NOT_DIRECTORY/, inHome("afile/x.yaml"));
      isFileError(await home.run("export-run", "trained", "-o", home.directory), /LAP_FILE_IS_DIRECTORY/, home.directory);
      strictEqual(readFileSync(inHome("afile"), "utf8"), "mine");
    });

    it("a full disk leaves no incomplete file", async function () {
      const mount = (then: string): string =>
        `mkdir -p full && unshare $([ $(id -u) = 0 ] || echo -r) -m sh -c 'mount -t tmpfs -o size=16k tmpfs full && ${then}'`;
      const canMount = (await shell(mount("true"))).code === 0;
      const commands = [
        ["ckpt export trained -o", "x"],
        [`export ${tinyJob} -o`, "y"],
        ["export-run trained -o", "page.html"],
      ] as const;
      // If the user may not mount, /dev/full replaces the full disk for files.
      for (const [command, name] of canMount ? commands : [["trace trained -o", "/dev/full"] as const]) {
        const line = canMount
          ? mount(`$LAPIDARY ${command} full/${name}; code=$?; ls -A full >&2; exit $code`)
          : `$LAPIDARY ${command} ${name}`;
        const ended = await shell(line);
        isFileError(ended, /LAP_FILE_NO_SPACE/, canMount ? inHome("full", name) : name);
        match(ended.stderr, /remedy: [^\n]+\n$/);
      }
    });

    it("a full disk is an error on standard output too; a reader that closes the pipe is not an error", async () => {
      const full = await shell("$LAPIDARY config schema > /dev/full");
      isFileError(full, /LAP_FILE_NO_SPACE: cannot write the results/, "standard output");
      const head = await shell("set -o pipefail; $LAPIDARY config schema | head -c 1");
      deepStrictEqual([head.code, head.stderr], [0, ""]);
      strictEqual((await shell("$LAPIDARY plan nosuch.yaml 2> /dev/full")).code, 2);
    });

    it("the home directory is checked like any other file", async () => {
      isFileError(await home.run("up", "--home", "afile"), /LAP_HOME_FILES/, inHome("afile"));
      isFileError(await home.run("up", "--home", "afile/home"), /LAP_HOME_FILES/, inHome("afile/home"));
    });
  });

  describe("case 96: files that cannot be read", () => {
    for (const [title, words, code] of [
      ["a directory as a job file", ["plan", "."], /LAP_JOB_FILE/],
      ["a file in the path of a job file", ["explain", "afile/job.yaml"], /LAP_JOB_FILE/],
      ["a directory to compare with", ["explain", tinyJob, "--diff", "."], /LAP_JOB_FILE/],
      [
        "a file as a parity bundle",
        ["parity", "afile"],
        /LAP_CHECKPOINT_MISSING: the directory is not a parity bundle: config\.json is missing/,
      ],
    ] as const)
      it(`an error reports this file: ${title}`, async () => {
        const { code: exit, stderr } = await home.run(...words);
        strictEqual(exit, 2, stderr);
        match(stderr, code);
        ok(!/INTERNAL/.test(stderr) && /remedy: \S/.test(stderr), stderr);
      });

    it("a file that cannot be read ends the job with the error of the system, not as a bug", async () => {
      const { code, stderr } = await home.run("launch", tinyJob, "data.corpus=afile/corpus.txt", "--name", "unread");
      strictEqual(code, 2, stderr);
      ok(!/INTERNAL|internal error/.test(stderr), stderr);
    });
  });
});
