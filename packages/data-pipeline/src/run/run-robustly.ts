import type { OutputStore, StoredObject } from "@lapidary/data-store";
import { assert, ensure, LapidaryError } from "@lapidary/std";
import type { Task } from "../plan/plan.js";
import { openView, storedObject } from "../view/open-view.js";
import type { ViewDocument } from "../view/view.js";
import type { ChildRequest } from "./child-protocol.js";
import type { Outcome } from "./task-process.js";

/** A process can end for other reasons than its documents, such as a person who stops it. */
const tries = 3;

type Request = (request: ChildRequest) => Promise<Outcome>;

/** A document that ended the process of a stage. */
export interface SetAside {
  readonly stage: string;
  readonly shard: string;
  readonly id: string;
}

/**
 * Runs a task until it is stored. If its process ends three times, the document that ends it is found by halving the rows, and is
 * set aside.
 *
 * @throws LapidaryError LAP_DATA_STAGE_DIED if no document ends the process alone; the errors of the task
 */
export async function runRobustly(
  store: OutputStore,
  task: Task,
  request: Request,
  onSetAside: (document: SetAside) => void,
): Promise<StoredObject> {
  const setAside: string[] = [];
  for (let attempt = 1; ; attempt++) {
    const outcome = await request({ kind: "run", task, limits: { setAside } });
    if (outcome.kind === "stored") return outcome.object;
    assert(outcome.kind === "died", "a task is stored or its process ends", outcome.kind);
    if (attempt % tries !== 0) continue;
    const found = await findDeadly(store, task, setAside, request);
    if (found === undefined) {
      if (attempt < 3 * tries) continue;
      throw died(task, outcome.why);
    }
    onSetAside({ stage: task.stage, shard: task.shard?.shard.name ?? "", id: found.id });
    setAside.push(found.id);
    // The next run is not one of three: another document of the shard can end it.
    attempt = tries - 1;
  }
}

/** The first document that ends the process when the stage runs on it alone; undefined if none does. */
async function findDeadly(
  store: OutputStore,
  task: Task,
  setAside: readonly string[],
  request: Request,
): Promise<ViewDocument | undefined> {
  const documents = task.shard?.view.documents;
  if (documents === undefined) return undefined;
  const isDeadly = async (rows: readonly [number, number]): Promise<boolean> =>
    (await request({ kind: "probe", task, limits: { setAside, rows } })).kind === "died";
  let [from, to] = [0, (await storedObject(store, documents)).account.out];
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (await isDeadly([from, middle])) to = middle;
    else from = middle;
  }
  return to > from && (await isDeadly([from, to])) ? documentAt(store, task, [from, to]) : undefined;
}

async function documentAt(store: OutputStore, task: Task, rows: readonly [number, number]): Promise<ViewDocument | undefined> {
  const { shard, view: keys } = ensure(task.shard, "a shard");
  const columns = new Map(Object.entries(task.columns));
  for await (const document of openView(store, { shard, keys, columns, setAside: new Set(), rows }).documents()) return document;
  return undefined;
}

const died = (task: Task, why: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_DATA_STAGE_DIED",
    message: `the process of the stage ${task.stage} ended ${3 * tries} times: ${why}`,
    location: task.shard?.shard.files.length === 1 ? (task.shard.shard.files[0]?.path ?? "") : (task.shard?.shard.name ?? task.stage),
    remedy: "run it again with fewer workers if memory was short; else remove the files of the shard one by one to find the cause",
  });
