import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type HubMessage, StreamHub, type StreamHandlers, type Tab } from "./stream-hub.js";

interface Opened {
  readonly query: string;
  readonly handlers: StreamHandlers;
  closed: boolean;
}

/** A hub with streams and timers that the test controls. */
class Bench {
  readonly streams: Opened[] = [];
  timers: { readonly ms: number; readonly then: () => void }[] = [];
  readonly hub = new StreamHub({
    open: (query, handlers) => {
      const stream = { query, handlers, closed: false };
      this.streams.push(stream);
      return { close: () => void (stream.closed = true) };
    },
    schedule: (ms, then) => {
      const timer = { ms, then };
      this.timers.push(timer);
      return () => void (this.timers = this.timers.filter((each) => each !== timer));
    },
  });

  tab(): Tab & { readonly received: HubMessage[] } {
    const received: HubMessage[] = [];
    return { received: received, send: (message) => void received.push(message) };
  }

  pass(ms: number): void {
    const due = this.timers.filter((timer) => timer.ms <= ms);
    this.timers = this.timers.filter((timer) => timer.ms > ms);
    for (const { then } of due) then();
  }

  get last(): Opened {
    const last = this.streams.at(-1);
    if (last === undefined) throw new Error("no stream was opened");
    return last;
  }

  get open(): number {
    return this.streams.filter(({ closed }) => !closed).length;
  }
}

const events = (id: string, last: number): string => JSON.stringify({ id, kind: "events", events: [{ id: last, event: "log", data: {} }] });

describe("stream hub", () => {
  it("the hub opens one stream for ten tabs of three runs", () => {
    const bench = new Bench();
    for (let i = 0; i < 10; i++) {
      bench.hub.receive(bench.tab(), { kind: "join", follows: [{ id: `run-${i % 3}`, after: 5 }] });
      bench.pass(20);
      bench.last.handlers.opened();
      strictEqual(bench.open, 1);
    }
    deepStrictEqual(new URLSearchParams(bench.last.query).getAll("run"), ["run-0:5", "run-1:5", "run-2:5"]);
  });

  it("the hub sends the events of a run to the tabs that follow it, and the list of runs to all", () => {
    const bench = new Bench();
    const [a, b] = [bench.tab(), bench.tab()];
    bench.hub.receive(a, { kind: "join", follows: [{ id: "a", after: 0 }] });
    bench.hub.receive(b, { kind: "join", follows: [] });
    bench.pass(20);
    bench.last.handlers.opened();
    bench.last.handlers.message("all", JSON.stringify({ status: {}, jobs: [] }));
    bench.last.handlers.message("run", events("a", 1));
    deepStrictEqual(
      a.received.map(({ kind }) => kind),
      ["connected", "all", "run"],
    );
    deepStrictEqual(
      b.received.map(({ kind }) => kind),
      ["connected", "all"],
    );
  });

  it("the hub closes the old stream only after the new one is open, and repeats the events that a new tab lacks", () => {
    const bench = new Bench();
    const first = bench.tab();
    bench.hub.receive(first, { kind: "join", follows: [{ id: "a", after: 3 }] });
    bench.pass(20);
    bench.last.handlers.opened();
    bench.last.handlers.message("run", events("a", 9));
    const old = bench.last;
    bench.hub.receive(bench.tab(), { kind: "join", follows: [{ id: "a", after: 7 }] });
    bench.pass(20);
    strictEqual(bench.last.query, "run=a%3A7");
    strictEqual(old.closed, false);
    old.handlers.message("run", events("a", 10));
    strictEqual(first.received.length, 3);
    bench.last.handlers.opened();
    strictEqual(old.closed, true);
  });

  it("the hub continues after the last event when the coordinator is back", () => {
    const bench = new Bench();
    const tab = bench.tab();
    bench.hub.receive(tab, { kind: "join", follows: [{ id: "a", after: 0 }] });
    bench.pass(20);
    bench.last.handlers.opened();
    bench.last.handlers.message("run", events("a", 42));
    bench.last.handlers.failed();
    deepStrictEqual(tab.received.at(-1), { kind: "connected", is: false });
    bench.pass(1000);
    bench.last.handlers.failed();
    bench.pass(1000);
    strictEqual(bench.last.query, "run=a%3A42");
    bench.last.handlers.opened();
    deepStrictEqual(tab.received.at(-1), { kind: "connected", is: true });
    strictEqual(bench.open, 1);
  });

  it("the hub keeps the stream when the first tab leaves, drops its run, and closes with the last tab", () => {
    const bench = new Bench();
    const [a, b] = [bench.tab(), bench.tab()];
    bench.hub.receive(a, { kind: "join", follows: [{ id: "a", after: 0 }] });
    bench.hub.receive(b, { kind: "join", follows: [{ id: "b", after: 0 }] });
    bench.pass(20);
    bench.last.handlers.opened();
    bench.hub.receive(a, { kind: "leave" });
    strictEqual(bench.open, 1);
    bench.pass(20);
    bench.last.handlers.opened();
    deepStrictEqual([bench.last.query, bench.open], ["run=b%3A0", 1]);
    bench.hub.receive(b, { kind: "leave" });
    deepStrictEqual([bench.open, bench.timers.length], [0, 0]);
  });

  it("the hub does not request a finished run until a tab follows it again", () => {
    const bench = new Bench();
    const tab = bench.tab();
    bench.hub.receive(tab, { kind: "join", follows: [{ id: "a", after: 0 }] });
    bench.pass(20);
    bench.last.handlers.opened();
    bench.last.handlers.message("run", JSON.stringify({ id: "a", kind: "end" }));
    bench.last.handlers.failed();
    bench.pass(1000);
    strictEqual(bench.last.query, "");
    bench.hub.receive(tab, { kind: "join", follows: [{ id: "a", after: 8 }] });
    bench.pass(20);
    strictEqual(bench.last.query, "run=a%3A8");
  });

  it("the hub reports a stream that has not opened after five seconds, also to tabs that join later", () => {
    const bench = new Bench();
    const [a, b] = [bench.tab(), bench.tab()];
    bench.hub.receive(a, { kind: "join", follows: [] });
    bench.pass(20);
    bench.pass(5000);
    bench.hub.receive(b, { kind: "join", follows: [] });
    for (const { received: received } of [a, b]) deepStrictEqual(received, [{ kind: "slow", is: true }]);
    bench.pass(20);
    bench.last.handlers.opened();
    for (const { received: received } of [a, b])
      deepStrictEqual(received.slice(1), [
        { kind: "slow", is: false },
        { kind: "connected", is: true },
      ]);
  });
});
