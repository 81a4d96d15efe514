import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { keptConsole } from "../testing/outputs.js";

const mistake = new LapidaryError({ code: "LAP_CONFIG_VALUE", message: "this is wrong", place: "job.yaml:3", remedy: "write it right" });

describe("console", () => {
  it("keeps results on stdout and everything said about them on stderr", () => {
    const { console, stdout, stderr } = keptConsole();
    console.say("a message");
    console.result({ a: 1 }, () => "one");
    console.warn("beware");
    equal(stdout.text, "one\n");
    equal(stderr.text, "lapidary: a message\nlapidary: warning: beware\n");
  });

  it("writes one JSON document and nothing else on stdout under --json", () => {
    const { console, stdout } = keptConsole({ json: true });
    console.say("a message");
    console.text("for people");
    console.result({ a: [1, "x"] }, () => "one");
    deepStrictEqual(JSON.parse(stdout.text), { a: [1, "x"] });
  });

  it("tells an error by code, place and remedy", () => {
    const { console, stdout, stderr } = keptConsole();
    console.fail(mistake, "lapidary launch");
    equal(stdout.text, "");
    equal(stderr.text, "lapidary: error LAP_CONFIG_VALUE: this is wrong\n    place:  job.yaml:3\n    remedy: write it right\n");
  });

  it("tells an error as JSON too under --json, with the command for its place when it has none", () => {
    const { console, stdout, stderr } = keptConsole({ json: true });
    console.fail(new LapidaryError({ code: "LAP_CONFIG_VALUE", message: "wrong", remedy: "right" }), "lapidary up");
    deepStrictEqual(JSON.parse(stdout.text), {
      error: { code: "LAP_CONFIG_VALUE", message: "wrong", place: "lapidary up", remedy: "right" },
    });
    match(stderr.text, /error LAP_CONFIG_VALUE/);
  });

  it("is silent with -q, but for warnings and errors", () => {
    const { console, stderr } = keptConsole({ quiet: true }, true);
    console.say("a message");
    const progress = console.progress();
    progress.update("train", "step 1");
    progress.end();
    equal(stderr.text, "");
    console.fail(mistake, "");
    ok(stderr.text.includes("LAP_CONFIG_VALUE"));
  });

  it("shows colour in a terminal only, and never where NO_COLOR or --no-color forbids it", () => {
    const colored = (...where: Parameters<typeof keptConsole>): boolean => {
      const { console, stderr } = keptConsole(...where);
      console.fail(mistake, "");
      return stderr.text.includes("\x1b[");
    };
    deepStrictEqual(
      [
        colored({}, true),
        colored({}, false),
        colored({ color: false }, true),
        colored({}, true, { NO_COLOR: "1" }),
        colored({}, true, { TERM: "dumb" }),
      ],
      [true, false, false, false, false],
    );
  });

  it("redraws one line in a terminal and takes it away before it says something else", () => {
    const { console, stderr } = keptConsole({ color: false }, true);
    const progress = console.progress();
    progress.update("train", "step 1/9");
    console.say("half way");
    progress.end();
    equal(stderr.text, "\r\x1b[2Ktrain  step 1/9\r\x1b[2Klapidary: half way\n");
  });

  it("prints plain lines without a terminal: one when the phase changes", () => {
    const { console, stderr } = keptConsole();
    const progress = console.progress();
    progress.update("compile");
    progress.update("train", "step 1/9");
    progress.update("train", "step 2/9");
    progress.end();
    equal(stderr.text, "lapidary: compile\nlapidary: train: step 1/9\n");
  });
});
