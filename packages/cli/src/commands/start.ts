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

/** The job of the first start. */
const quickstart = "quickstart";
/** Interval of the checks that the coordinator runs. */
const checkEveryMs = 2000;

/**
 * `npm start`: starts everything, trains the quick-start job and prints its report. In a terminal, the coordinator runs until Ctrl-C; without a terminal, until
 * the job ends. The command always stops the processes that it started.
 */
export async function start(context: Context, overrides: readonly string[]): Promise<ExitCode> {
  const { console, interrupts } = context;
  // An error in the arguments is reported before a process starts.
  const request = await submission(context, { job: quickstart, overrides, name: undefined, priority: undefined });
  const running = await findRunning(context);
  if (running !== undefined) {
    console.say(`using the coordinator that is up: ${running.pageUrl}`);
    return train(context, running, request, (id) => console.say(`run ${id} continues: \`lapidary jobs cancel ${id}\` ends it`));
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
    const release = interrupts.takeOver(() => console.say("already stopping"));
    const progress = console.progress();
    progress.update("stop everything");
    await stopCoordinator(context);
    progress.end();
    console.say("stopped: no process is left");
    release();
  }
}

/** The coordinator of this state directory, if it answers. */
async function findRunning({ home }: Context): Promise<CoordinatorClient | undefined> {
  const connection = findConnection(home);
  if (connection === undefined) return undefined;
  const client = new CoordinatorClient(connection);
  return (await answers(client)) ? client : undefined;
}

/** @param onDetached receives the run id if Ctrl-C stops the command */
async function train(
  context: Context,
  client: CoordinatorClient,
  request: SubmitRequest,
  onDetached: (id: string) => void = () => undefined,
): Promise<ExitCode> {
  const { signal } = context.interrupts;
  const submitted = await raceAbort(submit(context, client, request), signal);
  const { id } = submitted;
  const ending = await followJob(context, client, id, signal);
  if (ending === undefined) {
    onDetached(id);
    throw interruptedError();
  }
  return raceAbort(finish(context, client, submitted, ending), signal);
}

/** Waits for Ctrl-C, or until another command stops the coordinator. */
async function stayUp(context: Context, client: CoordinatorClient): Promise<void> {
  const { console, interrupts } = context;
  console.say(`the coordinator runs until Ctrl-C: ${client.pageUrl}`);
  console.say("try `npx lapidary launch configs/jobs/quickstart.yaml train.steps=50` in another terminal; Ctrl-C stops everything");
  const wait = new AbortController();
  const release = interrupts.takeOver(() => wait.abort());
  while (!wait.signal.aborted) {
    if (!(await answers(client))) return console.say("another command stopped the coordinator");
    await delay(checkEveryMs, undefined, { signal: wait.signal }).catch(() => undefined);
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
