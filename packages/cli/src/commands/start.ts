import { setTimeout as delay } from "node:timers/promises";
import type { SubmitRequest } from "@lapidary/api";
import { CoordinatorClient } from "@lapidary/api/client";
import { findConnection } from "@lapidary/api/connection";
import { ExitCode, LapidaryError, raceAbort } from "@lapidary/std";
import type { Context } from "../context.js";
import { interruptedError } from "../terminal/interrupts.js";
import { startCoordinator, stopCoordinator } from "./coordinator-process.js";
import { followJob } from "./follow.js";
import { finish, submission, submit } from "./launch.js";

/** What a newcomer sees first. */
const quickstart = "quickstart";
/** How often it is seen whether the coordinator is still there. */
const lookEveryMs = 2000;

/**
 * `npm start`: everything is started, the quick-start job trained, its report shown. In a terminal all stays up until Ctrl-C; without one it
 * ends when the job does. What this command started, it stops, however it ends.
 */
export async function start(context: Context, overrides: readonly string[]): Promise<ExitCode> {
  const { console, interrupts } = context;
  // A mistake in the words is told before anything starts.
  const request = await submission(context, { job: quickstart, overrides, name: undefined, priority: undefined });
  const running = await findRunning(context);
  if (running !== undefined) {
    console.say(`using the coordinator that is up: ${running.pageUrl}`);
    return train(context, running, request, (id) => console.say(`run ${id} goes on: \`lapidary jobs cancel ${id}\` ends it`));
  }
  const progress = console.progress();
  progress.update("start Redis, the coordinator and its workers");
  const { connection } = await startCoordinator(context, { port: undefined, workers: undefined, allowHosts: [] });
  const client = new CoordinatorClient(connection);
  progress.end();
  try {
    console.say(`dashboard  ${client.pageUrl}`);
    const exit = await train(context, client, request);
    if (context.attended) await stayUp(context, client);
    return exit;
  } finally {
    const release = interrupts.takeOver(() => console.say("already stopping, a moment"));
    const progress = console.progress();
    progress.update("stop everything");
    await stopCoordinator(context);
    progress.end();
    console.say("stopped: no process is left");
    release();
  }
}

/** The coordinator of this home, when it answers. */
async function findRunning({ home }: Context): Promise<CoordinatorClient | undefined> {
  const connection = findConnection(home);
  if (connection === undefined) return undefined;
  const client = new CoordinatorClient(connection);
  return (await answers(client)) ? client : undefined;
}

/** @param onLeft hears of the run when Ctrl-C ends the following */
async function train(
  context: Context,
  client: CoordinatorClient,
  request: SubmitRequest,
  onLeft: (id: string) => void = () => undefined,
): Promise<ExitCode> {
  const { signal } = context.interrupts;
  const submitted = await raceAbort(submit(context, client, request), signal);
  const { id } = submitted;
  const ending = await followJob(context, client, id, signal);
  if (ending === undefined) {
    onLeft(id);
    throw interruptedError();
  }
  return raceAbort(finish(context, client, submitted, ending), signal);
}

/** Until Ctrl-C, or until somebody else stops the coordinator. */
async function stayUp(context: Context, client: CoordinatorClient): Promise<void> {
  const { console, interrupts } = context;
  console.say(`all stays up for you: ${client.pageUrl}`);
  console.say("try `npx lapidary launch configs/jobs/quickstart.yaml train.steps=50` in another terminal; Ctrl-C ends it all");
  const wait = new AbortController();
  const release = interrupts.takeOver(() => wait.abort());
  while (!wait.signal.aborted) {
    if (!(await answers(client))) return console.say("the coordinator was stopped from elsewhere");
    await delay(lookEveryMs, undefined, { signal: wait.signal }).catch(() => undefined);
  }
  release();
}

async function answers(client: CoordinatorClient): Promise<boolean> {
  try {
    await client.status();
    return true;
  } catch (error) {
    if (error instanceof LapidaryError) return false;
    throw error;
  }
}
