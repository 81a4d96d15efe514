import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EventEmitter } from "node:events";
import { Interrupts } from "./interrupts.js";

/** A process whose signals and clock a test holds. */
function atHand(): { press: (atMs: number, signal?: string) => void; interrupts: Interrupts; exits: () => number } {
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
  it("asks a command to end at the first Ctrl-C and ends it at the second", () => {
    const { press, interrupts, exits } = atHand();
    press(0);
    deepStrictEqual([interrupts.signal.aborted, exits()], [true, 0]);
    press(1000);
    equal(exits(), 1);
  });

  it("takes a signal that npm forwards for the key press that it is", () => {
    const { press, interrupts, exits } = atHand();
    press(0);
    press(2);
    press(3, "SIGTERM");
    deepStrictEqual([interrupts.signal.aborted, exits()], [true, 0]);
  });

  it("hands Ctrl-C to a command that has taken it over, until it lets go", () => {
    const { press, interrupts } = atHand();
    const heard: string[] = [];
    const release = interrupts.takeOver((signal) => heard.push(signal));
    press(0);
    press(1000, "SIGTERM");
    deepStrictEqual([heard, interrupts.signal.aborted], [["SIGINT", "SIGTERM"], false]);
    release();
    press(2000);
    ok(interrupts.signal.aborted);
  });
});
