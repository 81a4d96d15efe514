import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EventEmitter } from "node:events";
import { Interrupts } from "./interrupts.js";

/** A process with signals and a clock that the test controls. */
function controlled(): { press: (atMs: number, signal?: string) => void; interrupts: Interrupts; exits: () => number } {
  const source = new EventEmitter();
  let [now, exits] = [0, 0];
  const interrupts = new Interrupts(source, { now: () => now, monotonic: () => now }, () => {
    exits++;
  });
  const press = (atMs: number, signal = "SIGINT"): void => {
    now = atMs;
    source.emit(signal, signal);
  };
  return { press, interrupts, exits: () => exits };
}

describe("interrupts", () => {
  it("the first Ctrl-C aborts the command, the second ends the process", () => {
    const { press, interrupts, exits } = controlled();
    press(0);
    deepStrictEqual([interrupts.signal.aborted, exits()], [true, 0]);
    press(1000);
    equal(exits(), 1);
  });

  it("a signal that npm forwards counts as the same key press", () => {
    const { press, interrupts, exits } = controlled();
    press(0);
    press(2);
    press(3, "SIGTERM");
    deepStrictEqual([interrupts.signal.aborted, exits()], [true, 0]);
  });

  it("a command that takes over Ctrl-C receives it until it releases it", () => {
    const { press, interrupts } = controlled();
    const received: string[] = [];
    const release = interrupts.takeOver((signal) => received.push(signal));
    press(0);
    press(1000, "SIGTERM");
    deepStrictEqual([received, interrupts.signal.aborted], [["SIGINT", "SIGTERM"], false]);
    release();
    press(2000);
    ok(interrupts.signal.aborted);
  });
});
