/**
 * A mocha reporter that appends one JSON line an event to a file immediately, so that results before a crash are
 * not lost. Lines: {kind: "pass" | "fail" | "pending", title, …}, {kind: "property", title, cases, rejected, seed}, {kind: "end"},
 * {kind: "held", by}, {kind: "processor", seconds}. `processor_s` of a test includes its hooks.
 */
import { appendFileSync } from "node:fs";
import { processorSeconds } from "./processor-time.mjs";
import { propertyEvents } from "./property-events.mjs";

/** The process normally exits at once. The limit is long, because connections close slowly on a busy machine. */
const exitWithin_ms = 60_000;

export default class LinesReporter {
  /**
   * @param {import("mocha").Runner} runner
   * @param {{ reporterOptions?: { output?: string }, reporterOption?: { output?: string } }} options
   */
  constructor(runner, options) {
    const output = options.reporterOptions?.output ?? options.reporterOption?.output;
    if (output === undefined) throw new Error("the reporter wants --reporter-option output=FILE");
    /** @param {Record<string, unknown>} line */
    const write = (line) => appendFileSync(output, `${JSON.stringify(line)}\n`);
    let title = "";
    runner.on("test", (test) => (title = test.fullTitle()));
    propertyEvents.on("held", (held) => write({ kind: "property", title, ...held }));
    let counted_s = 0;
    /** Processor seconds since the last call. */
    const sinceLast_s = () => {
      const before_s = counted_s;
      counted_s = processorSeconds();
      return Math.round((counted_s - before_s) * 100) / 100;
    };
    runner.on("start", sinceLast_s);
    process.on("exit", () => write({ kind: "processor", seconds: processorSeconds() }));
    runner.on("pass", (test) => write({ kind: "pass", title: test.fullTitle(), duration_ms: test.duration, processor_s: sinceLast_s() }));
    runner.on("pending", (test) => write({ kind: "pending", title: test.fullTitle() }));
    runner.on("fail", (test, error) =>
      write({ kind: "fail", title: test.fullTitle(), message: error?.stack ?? String(error), processor_s: sinceLast_s() }),
    );
    runner.once("end", () => {
      write({ kind: "end" });
      // The timer is unreferenced, so it fires only if something else keeps the process alive.
      setTimeout(() => {
        write({
          kind: "held",
          by: process
            .getActiveResourcesInfo()
            .filter((name) => name !== "Timeout")
            .join(", "),
        });
        process.exit(1);
      }, exitWithin_ms).unref();
    });
  }
}
