import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "@lapidary/std";
import type { FromCheckThread } from "./module-messages.js";
import type { CheckedRow } from "./row.js";

/** The thread of a `ModuleChecker`: loads the module, then scores one row a message. */

type Check = (row: CheckedRow) => unknown;

const port = parentPort;
assert(port !== null, "the thread has a parent");
const send = (message: FromCheckThread): void => port.postMessage(message);
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function load(path: string): Promise<Check | undefined> {
  try {
    const { check } = (await import(pathToFileURL(path).href)) as { readonly check?: unknown };
    if (typeof check === "function") return check as Check;
    send({ kind: "unloadable", why: `its export \`check\` is ${typeof check}, expected a function` });
  } catch (error) {
    send({ kind: "unloadable", why: textOf(error) });
  }
  return undefined;
}

async function score(check: Check, row: CheckedRow): Promise<FromCheckThread> {
  try {
    const result = await check(row);
    if (typeof result === "boolean") return { kind: "score", score: result ? 1 : 0 };
    if (typeof result === "number" && Number.isFinite(result)) return { kind: "score", score: result };
    return { kind: "failed", why: `check returned ${String(result)}, expected a finite number or a boolean` };
  } catch (error) {
    return { kind: "failed", why: `check threw: ${textOf(error)}` };
  }
}

const check = await load(workerData as string);
if (check !== undefined) {
  port.on("message", (row: CheckedRow) => void score(check, row).then(send));
  send({ kind: "ready" });
}
