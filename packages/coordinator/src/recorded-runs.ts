import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { coordinatorDown } from "@lapidary/api/client";
import { PipelineStore, runFiles, RunStore } from "@lapidary/telemetry/runs";
import type { Clock } from "@lapidary/std";
import { PageFiles } from "./http/page-files.js";
import { serveHttp } from "./http/server.js";
import type { Service } from "./http/service.js";
import { pipelineDetail } from "./pipeline-detail.js";

export interface RecordedRunsOptions {
  readonly home: string;
  /** The project's root, with the page. */
  readonly root: string;
  readonly clock: Clock;
  readonly version: string;
  /** Whether to serve the routes of the page too (default). They load the compiler and the simulator. */
  readonly views?: boolean;
}

/** A server of the records of a state directory. */
export interface RecordedRuns {
  readonly port: number;
  readonly token: string;
  /** Directories and files that cannot be read. */
  readonly unreadable: readonly string[];
  close(): Promise<void>;
}

/**
 * Serves the routes of the API that read, from the files of runs and pipelines, without a coordinator. Requests that act fail with
 * LAP_COORDINATOR_DOWN. It changes no file.
 *
 * @returns undefined if the state directory has no runs
 */
export async function serveRecordedRuns({
  home,
  root,
  clock,
  version,
  views = true,
}: RecordedRunsOptions): Promise<RecordedRuns | undefined> {
  const directory = join(home, "runs");
  if (!existsSync(directory)) return undefined;
  const unreadable: string[] = [];
  const note = (path: string): void => void unreadable.push(path);
  const runs = await RunStore.open(directory, clock, note);
  const pipelines = PipelineStore.open(join(home, "pipelines"), runs, note, true);
  const token = randomBytes(24).toString("base64url");
  const refuse = (): never => {
    throw coordinatorDown(home, "it is needed to act, and none runs here");
  };
  const service: Service = {
    runs,
    status: () => ({
      version,
      pid: process.pid,
      port: 0,
      started_at: clock.now(),
      home,
      redis: { address: "", connected: false },
      workers: [],
      jobs: runs.counts(),
    }),
    submit: refuse,
    cancel: refuse,
    resume: refuse,
    submitPipeline: refuse,
    cancelPipeline: refuse,
    shutdown: refuse,
    pipeline: (id) => pipelineDetail(pipelines.get(id), runs),
    detail: (run) => ({ ...run.summary, job: run.identity.job, directory: run.directory }),
    checkpoints: async (run) => (await import("@lapidary/trainer")).listCheckpoints(join(run.directory, runFiles.checkpoints)),
  };
  const page = new PageFiles(join(root, "packages/dashboard/page/dist"));
  const server = await serveHttp({ port: 0, token, service, page, views, onBug: () => undefined });
  return { port: server.port, token, unreadable, close: () => server.close() };
}
