import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { collectingConsole } from "../testing/outputs.js";

const mistake = new LapidaryError({ code: "LAP_CONFIG_VALUE", message: "this is wrong", location: "job.yaml:3", remedy: "write it right" });

describe("console", () => {
  it("results are on stdout, everything else on stderr", () => {
    const { console, stdout, stderr } = collectingConsole();
    console.say("a message");
    console.result({ a: 1 }, () => "one");
    console.warn("beware");
    equal(stdout.text, "one\n");
    equal(stderr.text, "lapidary: a message\nlapidary: warning: beware\n");
  });

  it("with --json, stdout has exactly one JSON document", () => {
    const { console, stdout } = collectingConsole({ json: true });
    console.say("a message");
    console.text("for people");
    console.result({ a: [1, "x"] }, () => "one");
    deepStrictEqual(JSON.parse(stdout.text), { a: [1, "x"] });
  });

  it("an error has code, place and remedy", () => {
    const { console, stdout, stderr } = collectingConsole();
    console.fail(mistake, "lapidary launch");
    equal(stdout.text, "");
    equal(stderr.text, "lapidary: error LAP_CONFIG_VALUE: this is wrong\n    place:  job.yaml:3\n    remedy: write it right\n");
  });

  it("with --json, an error is also JSON, and the command is the default place", () => {
    const { console, stdout, stderr } = collectingConsole({ json: true });
    console.fail(new LapidaryError({ code: "LAP_CONFIG_VALUE", message: "wrong", remedy: "right" }), "lapidary up");
    deepStrictEqual(JSON.parse(stdout.text), {
      error: { code: "LAP_CONFIG_VALUE", message: "wrong", place: "lapidary up", remedy: "right" },
    });
    match(stderr.text, /error LAP_CONFIG_VALUE/);
  });

  it("with -q, only warnings and errors are printed", () => {
    const { console, stderr } = collectingConsole({ quiet: true }, true);
    console.say("a message");
    const progress = console.progress();
    progress.update("train", "step 1");
    progress.end();
    equal(stderr.text, "");
    console.fail(mistake, "");
    ok(stderr.text.includes("LAP_CONFIG_VALUE"));
  });

  it("colour needs a terminal, and NO_COLOR or --no-color disables it", () => {
    const colored = (...where: Parameters<typeof collectingConsole>): boolean => {
      const { console, stderr } = collectingConsole(...where);
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

  it("a terminal has one progress line, which is cleared before other output", () => {
    const { console, stderr } = collectingConsole({ color: false }, true);
    const progress = console.progress();
    progress.update("train", "step 1/9");
    console.say("half way");
    progress.end();
    equal(stderr.text, "\r\x1b[2Ktrain  step 1/9\r\x1b[2Klapidary: half way\n");
  });

  it("without a terminal, each new phase is a plain line", () => {
    const { console, stderr } = collectingConsole();
    const progress = console.progress();
    progress.update("compile");
    progress.update("train", "step 1/9");
    progress.update("train", "step 2/9");
    progress.end();
    equal(stderr.text, "lapidary: compile\nlapidary: train: step 1/9\n");
  });
});
