import type { ServerResponse } from "node:http";
import { jsonText } from "@lapidary/std";
import type { JobSummary, Status } from "@lapidary/api";
import type { OverviewChange } from "@lapidary/api/view-api";

const everyMs = 400;
const keepAliveIntervalMs = 15_000;
const maxUnsentBytes = 1 << 20;

export interface OverviewSource {
  /** Newest first. */
  readonly jobs: () => readonly JobSummary[];
  readonly status: () => Status;
}

/**
 * The list of runs and the state of the coordinator, as server-sent events: all of it for a new or reconnected client, then the changes.
 *
 * A summary is replaced when it changes, and never modified, so that a comparison of references finds changes.
 */
export class OverviewFeed {
  readonly #viewers = new Set<ServerResponse>();
  readonly #known = new Map<string, JobSummary>();
  #status = "";
  #timer: NodeJS.Timeout | undefined;
  #sinceKeepAlive = 0;

  constructor(private readonly source: OverviewSource) {}

  add(response: ServerResponse): void {
    this.#tick();
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    response.write(`retry: 1000\n\n${textOf("all", { status: this.source.status(), jobs: this.source.jobs() })}`);
    this.#viewers.add(response);
    response.once("close", () => {
      this.#viewers.delete(response);
      if (this.#viewers.size === 0) this.#stop();
    });
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#tick(), everyMs);
    this.#timer.unref();
  }

  close(): void {
    this.#stop();
    for (const response of this.#viewers) response.end();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const jobs = this.source.jobs();
    const changed = jobs.filter((job) => this.#known.get(job.id) !== job);
    const here = new Set(jobs.map(({ id }) => id));
    const gone = [...this.#known.keys()].filter((id) => !here.has(id));
    for (const job of changed) this.#known.set(job.id, job);
    for (const id of gone) this.#known.delete(id);
    const status = this.source.status();
    const statusText = jsonText(status);
    const statusChanged = statusText !== this.#status;
    this.#status = statusText;
    this.#sinceKeepAlive += everyMs;
    const alive = this.#sinceKeepAlive >= keepAliveIntervalMs;
    if (alive) this.#sinceKeepAlive = 0;
    const change: OverviewChange = {
      ...(changed.length > 0 ? { jobs: changed } : {}),
      ...(gone.length > 0 ? { gone } : {}),
      ...(statusChanged ? { status } : {}),
    };
    const text = `${Object.keys(change).length > 0 ? textOf("change", change) : ""}${alive ? ": alive\n\n" : ""}`;
    if (text === "") return;
    for (const response of this.#viewers) {
      if (response.writableLength > maxUnsentBytes) response.destroy();
      else response.write(text);
    }
  }
}

const textOf = (event: string, data: unknown): string => `event: ${event}\ndata: ${jsonText(data)}\n\n`;
