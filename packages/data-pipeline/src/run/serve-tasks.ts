import { ObjectStore } from "@lapidary/data-store";
import { isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { ChildReply, ChildRequest } from "./child-protocol.js";
import { probeTask, runTask } from "./run-task.js";

/** Answers the requests of the parent process until the channel closes, also if the parent was killed. */
export function serveTasks(out: string): void {
  const store = new ObjectStore(out);
  // Ctrl-C reaches all processes of a terminal. The parent decides.
  process.on("SIGINT", () => undefined);
  process.on("disconnect", () => process.exit());
  process.on("message", (request: ChildRequest) => {
    void answer(store, request).then((reply) => process.send?.(reply));
  });
}

/** The reply to one request. */
export async function answer(store: ObjectStore, { kind, task, limits }: ChildRequest): Promise<ChildReply> {
  try {
    if (kind === "run") return { kind: "stored", object: await runTask(store, task, limits) };
    return { kind: "probed", ids: await probeTask(store, task, limits) };
  } catch (error) {
    if (error instanceof LapidaryError) return { kind: "failed", error: error.toJSON() };
    if (isSystemError(error)) return { kind: "failed", error: systemError(error).toJSON() };
    return { kind: "crashed", stack: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
