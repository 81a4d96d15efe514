import type { JobSummary, Status } from "@lapidary/coordinator/api";
import { emptyView, parseRoute, printRoute, type Route, type RunView } from "../model/route.js";
import type { HubMessage } from "../model/stream-hub.js";
import { LiveStream } from "./live-stream.js";
import { ask, recordedSource, Refusal, serverSource, type Source } from "./source.js";
import { slowRequest } from "./waiting.js";

export type Theme = "light" | "dark";

/** What all of the page shares: the address, the list of runs, whether the coordinator is there, light or dark. */
export class AppState {
  readonly source: Source;
  /** The only run of a saved page. */
  readonly only: string | undefined;
  route: Route = $state.raw({ page: "runs" });
  jobs: readonly JobSummary[] = $state.raw([]);
  status: Status | undefined = $state.raw(undefined);
  /** Whether the list of runs has come. */
  loaded = $state(false);
  connected = $state(true);
  /** The coordinator answers, but does not know this browser. */
  lockedOut = $state(false);
  streamIsSlow = $state(false);
  slowRequests = $state(0);
  theme: Theme = $state("light");

  constructor() {
    const recorded = recordedSource();
    this.source = recorded?.source ?? serverSource(new LiveStream((message) => this.#hear(message)));
    this.only = recorded?.id;
    const asked = matchMedia("(prefers-color-scheme: dark)");
    const kept = storedTheme();
    this.setTheme(kept ?? (asked.matches ? "dark" : "light"), false);
    asked.addEventListener("change", () => {
      if (storedTheme() === undefined) this.setTheme(asked.matches ? "dark" : "light", false);
    });
    this.#readAddress();
    addEventListener("hashchange", () => this.#readAddress());
    addEventListener(slowRequest, (event) => (this.slowRequests += (event as CustomEvent<boolean>).detail ? 1 : -1));
  }

  setTheme(theme: Theme, keep = true): void {
    this.theme = theme;
    document.documentElement.dataset["theme"] = theme;
    if (keep && this.source.live) localStorage.setItem("theme", theme);
  }

  /** The view of a run's page changes, and with it the address: selections replace it, going to a panel is a step back and forth. */
  setView(change: Partial<{ [K in keyof RunView]: RunView[K] | undefined }>): void {
    if (this.route.page !== "run") return;
    const merged = Object.fromEntries(
      Object.entries({ ...this.route.view, ...change }).filter(([, value]) => value !== undefined),
    ) as unknown as RunView;
    this.route = { ...this.route, view: { ...emptyView, ...merged } };
    const address = printRoute(this.route);
    if (address === location.hash) return;
    if (change.panel === undefined) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }

  #readAddress(): void {
    const route = parseRoute(location.hash);
    this.route = route.page === "runs" && this.only !== undefined ? { page: "run", id: this.only, view: emptyView } : route;
  }

  #hear(message: HubMessage): void {
    if (message.kind === "connected") this.#hearConnected(message.is);
    else if (message.kind === "slow") this.streamIsSlow = message.is;
    else if (message.kind === "all") {
      this.status = message.status;
      this.jobs = message.jobs;
      this.loaded = true;
    } else if (message.kind === "change") {
      const { jobs = [], gone = [], status } = message.change;
      if (status !== undefined) this.status = status;
      const changed = new Map(jobs.map((job) => [job.id, job]));
      const known = this.jobs.filter(({ id }) => !gone.includes(id)).map((job) => changed.get(job.id) ?? job);
      const here = new Set(known.map(({ id }) => id));
      // New ones come first: the list is newest first.
      this.jobs = [...jobs.filter(({ id }) => !here.has(id)), ...known];
    }
  }

  #hearConnected(is: boolean): void {
    this.connected = is;
    if (is) {
      this.lockedOut = false;
      return;
    }
    // An event stream does not say why it failed.
    ask("api/status").then(
      () => (this.lockedOut = false),
      (error: unknown) => (this.lockedOut = error instanceof Refusal && error.status === 401),
    );
  }
}

function storedTheme(): Theme | undefined {
  try {
    const kept = localStorage.getItem("theme");
    return kept === "light" || kept === "dark" ? kept : undefined;
  } catch {
    // A page from a file may have no storage.
    return undefined;
  }
}
