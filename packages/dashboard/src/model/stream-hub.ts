import type { JobSummary, Status } from "@lapidary/api";
import type { OverviewChange, RunMessage, WatchedFrames } from "@lapidary/api/view-api";
import { parseResponse } from "./response.js";

/** A message of a tab to the hub. `join` lists all runs that the tab follows, each with its last received event; `leave` means that the tab closes or is suspended. */
export type TabMessage = { readonly kind: "join"; readonly follows: readonly Follow[] } | { readonly kind: "leave" };

export interface Follow {
  readonly id: string;
  readonly after: number;
}

/** A message of the hub to a tab. */
export type HubMessage =
  | { readonly kind: "connected"; readonly is: boolean }
  /** The stream has not opened for some seconds. */
  | { readonly kind: "slow"; readonly is: boolean }
  | { readonly kind: "all"; readonly status: Status; readonly jobs: readonly JobSummary[] }
  | { readonly kind: "change"; readonly change: OverviewChange }
  | { readonly kind: "run"; readonly update: RunMessage }
  | { readonly kind: "frames"; readonly frames: WatchedFrames };

export interface Tab {
  send(message: HubMessage): void;
}

/** A stream of server-sent events, `EventSource` in a browser. */
export interface Stream {
  close(): void;
}

export interface StreamHandlers {
  opened(): void;
  message(event: StreamEventName, data: string): void;
  failed(): void;
}
export const streamEventNames = ["all", "change", "run", "frames"] as const;
export type StreamEventName = (typeof streamEventNames)[number];

export interface HubOptions {
  /** @param query of `/api/watch` */
  readonly open: (query: string, handlers: StreamHandlers) => Stream;
  /** Calls `then` after `ms`; returns a function that cancels it. */
  readonly schedule: (ms: number, then: () => void) => () => void;
}

/** Tabs that join or leave within this time open one stream. */
const gatherMs = 20;
const retryMs = 1000;
const slowAfterMs = 5000;
/** The limit of the coordinator for one request. */
const maxRuns = 128;

/**
 * One stream for all tabs of a browser, because HTTP/1.1 allows six connections per host for all tabs.
 *
 *     tab  tab  tab ──► hub ── /api/watch?run=a:7&run=b:12 ──► coordinator
 *
 * When the followed runs change, the next stream opens before the old one closes. No event is missed, and an event that arrives twice changes nothing.
 */
export class StreamHub {
  readonly #tabs = new Map<Tab, ReadonlySet<string>>();
  /** Unfinished runs, and the last event that all tabs have received. */
  readonly #after = new Map<string, number>();
  #current: Stream | undefined;
  #next: Stream | undefined;
  #isConnected = true;
  #isSlow = false;
  #cancelOpen = (): void => undefined;
  #cancelSlow = (): void => undefined;

  constructor(private readonly options: HubOptions) {}

  receive(tab: Tab, message: TabMessage): void {
    if (message.kind === "leave") this.#leave(tab);
    else this.#join(tab, message.follows);
  }

  #join(tab: Tab, follows: readonly Follow[]): void {
    this.#tabs.set(tab, new Set(follows.map(({ id }) => id)));
    for (const { id, after } of follows) this.#after.set(id, Math.min(after, this.#after.get(id) ?? after));
    this.#dropUnfollowed();
    if (!this.#isConnected) tab.send({ kind: "connected", is: false });
    if (this.#isSlow) tab.send({ kind: "slow", is: true });
    this.#openSoon(gatherMs);
  }

  #leave(tab: Tab): void {
    if (!this.#tabs.delete(tab)) return;
    const dropped = this.#dropUnfollowed();
    if (this.#tabs.size === 0) this.#close();
    else if (dropped) this.#openSoon(gatherMs);
  }

  /** Drops runs that no tab follows any more. */
  #dropUnfollowed(): boolean {
    const followed = new Set([...this.#tabs.values()].flatMap((ids) => [...ids]));
    const unfollowed = [...this.#after.keys()].filter((id) => !followed.has(id));
    for (const id of unfollowed) this.#after.delete(id);
    return unfollowed.length > 0;
  }

  #close(): void {
    this.#cancelOpen();
    this.#cancelSlow();
    this.#current?.close();
    this.#next?.close();
    this.#current = this.#next = undefined;
    this.#setSlow(false);
  }

  #openSoon(ms: number): void {
    this.#cancelOpen();
    this.#cancelOpen = this.options.schedule(ms, () => this.#open());
  }

  #open(): void {
    this.#next?.close();
    const runs = [...this.#after].slice(-maxRuns).map(([id, after]): [string, string] => ["run", `${id}:${after}`]);
    const stream = this.options.open(new URLSearchParams(runs).toString(), {
      opened: () => {
        if (stream !== this.#next) return;
        this.#cancelSlow();
        this.#current?.close();
        [this.#current, this.#next] = [stream, undefined];
        this.#setSlow(false);
        this.#isConnected = true;
        this.#sendAll({ kind: "connected", is: true });
      },
      message: (event, data) => {
        if (stream === this.#current) this.#deliver(event, data);
      },
      failed: () => {
        if (stream !== this.#current && stream !== this.#next) return;
        this.#close();
        this.#isConnected = false;
        this.#sendAll({ kind: "connected", is: false });
        this.#openSoon(retryMs);
      },
    });
    this.#next = stream;
    this.#cancelSlow();
    this.#cancelSlow = this.options.schedule(slowAfterMs, () => this.#setSlow(true));
  }

  #setSlow(is: boolean): void {
    if (is === this.#isSlow) return;
    this.#isSlow = is;
    this.#sendAll({ kind: "slow", is });
  }

  #deliver(event: StreamEventName, data: string): void {
    const value = parseResponse(data);
    if (event === "all") this.#sendAll({ ...(value as { status: Status; jobs: readonly JobSummary[] }), kind: "all" });
    else if (event === "change") this.#sendAll({ kind: "change", change: value as OverviewChange });
    else if (event === "frames") {
      const frames = value as WatchedFrames;
      this.#sendTo(frames.id, { kind: "frames", frames });
    } else {
      const update = value as RunMessage;
      this.#sendTo(update.id, { kind: "run", update: update });
      if (update.kind === "events") this.#advance(update.id, update.events.at(-1)?.id ?? 0);
      // After a reset, each tab joins again with the last event of its new snapshot.
      else this.#after.delete(update.id);
    }
  }

  #advance(id: string, to: number): void {
    const after = this.#after.get(id);
    if (after !== undefined) this.#after.set(id, Math.max(after, to));
  }

  #sendTo(id: string, message: HubMessage): void {
    for (const [tab, follows] of this.#tabs) if (follows.has(id)) tab.send(message);
  }

  #sendAll(message: HubMessage): void {
    for (const tab of this.#tabs.keys()) tab.send(message);
  }
}
