import type { StoreAccess, StoredObject } from "@lapidary/data-store";
import type { ErrorJSON } from "@lapidary/std";
import type { Task } from "../plan/plan.js";
import type { TaskLimits } from "./run-task.js";

/** The first message of the parent: where outputs are. It has no reply. */
export interface OpenRequest {
  readonly kind: "open";
  /** The directory or the address of the store. */
  readonly location: string;
  readonly access: StoreAccess;
}

/** The parent sends one request at a time. */
export type ChildRequest =
  /** Computes and stores the object of a task. */
  | { readonly kind: "run"; readonly task: Task; readonly limits: TaskLimits }
  /** Computes some rows of a task and stores nothing. */
  | { readonly kind: "probe"; readonly task: Task; readonly limits: TaskLimits };

export type ChildReply =
  | { readonly kind: "stored"; readonly object: StoredObject }
  | { readonly kind: "probed"; readonly ids: readonly string[] }
  /** A mistake of the user or a damaged input. */
  | { readonly kind: "failed"; readonly error: ErrorJSON }
  /** A bug. */
  | { readonly kind: "crashed"; readonly stack: string };
