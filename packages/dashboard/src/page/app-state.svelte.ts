import type { JobSummary, Status } from "@lapidary/api";
import type { AblationReport } from "@lapidary/api/ablation-report";
import type { DatasetCard } from "@lapidary/api/data-view";
import { emptyView, parseRoute, printRoute, type Route, type RunView } from "../model/route.js";
import type { HubMessage } from "../model/stream-hub.js";
import { LiveStream } from "./live-stream.js";
import {
  recordedAblation,
  recordedCard,
  request,
  recordedSource,
  RequestError,
  serverSource,
  sourceWithoutRuns,
  type Source,
} from "./source.js";
import { slowRequest } from "./waiting.js";

export type Theme = "light" | "dark";

/** The shared state of the page: URL, list of runs, connection to the coordinator, theme. */
export class AppState {
  readonly source: Source;
  /** The run of a saved page. */
  readonly only: string | undefined;
  /** The card of a saved page. */
  readonly card: DatasetCard | undefined = recordedCard();
  /** The report of a saved page. */
  readonly ablation: AblationReport | undefined = recordedAblation();
  route: Route = $state.raw({ page: "runs" });
  jobs: readonly JobSummary[] = $state.raw([]);
  status: Status | undefined = $state.raw(undefined);
  /** Whether the list of runs was received. */
  loaded = $state(false);
  connected = $state(true);
  /** Whether the coordinator rejects the token of this browser. */
  lockedOut = $state(false);
  streamIsSlow = $state(false);
  slowRequests = $state(0);
  theme: Theme = $state("light");

  constructor() {
    const recorded = recordedSource();
    this.source =
      recorded?.source ??
      (this.card !== undefined || this.ablation !== undefined ? sourceWithoutRuns : undefined) ??
      serverSource(new LiveStream((message) => this.#receive(message)));
    this.only = recorded?.id;
    const darkQuery = matchMedia("(prefers-color-scheme: dark)");
    const stored = storedTheme();
    this.setTheme(stored ?? (darkQuery.matches ? "dark" : "light"), false);
    darkQuery.addEventListener("change", () => {
      if (storedTheme() === undefined) this.setTheme(darkQuery.matches ? "dark" : "light", false);
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

  /** Changes the view of a run's page and the URL. Selecting replaces the history entry; going to a panel adds one. */
  setView(change: Partial<{ [K in keyof RunView]: RunView[K] | undefined }>): void {
    if (this.route.page !== "run") return;
    const merged = Object.fromEntries(Object.entries({ ...this.route.view, ...change }).filter(([, value]) => value !== undefined));
    this.route = { ...this.route, view: { ...emptyView, ...(merged as Partial<RunView>) } };
    const address = printRoute(this.route);
    if (address === location.hash) return;
    if (change.panel === undefined) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }

  #readAddress(): void {
    const route = parseRoute(location.hash);
    if (route.page === "runs" && this.only !== undefined) this.route = { page: "run", id: this.only, view: emptyView };
    else this.route = route.page === "runs" && this.card !== undefined ? { page: "dataset", id: "" } : route;
  }

  #receive(message: HubMessage): void {
    if (message.kind === "connected") this.#setConnected(message.is);
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
      // New runs come first, because the list is ordered newest first.
      this.jobs = [...jobs.filter(({ id }) => !here.has(id)), ...known];
    }
  }

  #setConnected(is: boolean): void {
    this.connected = is;
    if (is) {
      this.lockedOut = false;
      return;
    }
    // An event stream reports no reason for its failure, so request the status.
    request("api/status").then(
      () => (this.lockedOut = false),
      (error: unknown) => (this.lockedOut = error instanceof RequestError && error.status === 401),
    );
  }
}

function storedTheme(): Theme | undefined {
  try {
    const stored = localStorage.getItem("theme");
    return stored === "light" || stored === "dark" ? stored : undefined;
  } catch {
    // A page that is opened from a file may have no storage.
    return undefined;
  }
}
