import { openStore } from "@lapidary/data-store";
import { ensure, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { ChildReply, ChildRequest, OpenRequest } from "./child-protocol.js";
import { probeTask, runTask, type TaskStores } from "./run-task.js";

/** Answers the requests of the parent process until the channel closes, also if the parent was killed. */
export function serveTasks(): void {
  const state: { stores: TaskStores | undefined } = { stores: undefined };
  // Ctrl-C reaches all processes of a terminal. The parent decides.
  process.on("SIGINT", () => undefined);
  process.on("disconnect", () => process.exit());
  process.on("message", (request: OpenRequest | ChildRequest) => {
    if (request.kind === "open") state.stores = { store: openStore(request.location, request.access), s3: request.access.s3 };
    else void answer(ensure(state.stores, "a store"), request).then((reply) => process.send?.(reply));
  });
}

/** The reply to one request. */
export async function answer(stores: TaskStores, { kind, task, limits }: ChildRequest): Promise<ChildReply> {
  try {
    if (kind === "run") return { kind: "stored", object: await runTask(stores, task, limits) };
    return { kind: "probed", ids: await probeTask(stores, task, limits) };
  } catch (error) {
    if (error instanceof LapidaryError) return { kind: "failed", error: error.toJSON() };
    if (isSystemError(error)) return { kind: "failed", error: systemError(error).toJSON() };
    return { kind: "crashed", stack: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
