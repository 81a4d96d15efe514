import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { OutputStore, Registration } from "@lapidary/data-store";
import { isPublished, readPublished } from "@lapidary/mixture";
import { replaceFile } from "@lapidary/std";
import type { PlanFile } from "./plan-file.js";

/** What the plan of the last run and the published dataset need of the store. */
export const registrationOf = (out: string, plan: PlanFile): Registration => ({
  id: pipelineId(out),
  file: plan.file,
  keys: [...new Set([...plan.keys(), ...plan.files, ...publishedKeys(out)])],
});

/** The objects of the published dataset. */
export function publishedKeys(out: string): readonly string[] {
  if (!isPublished(out)) return [];
  return Object.values(readPublished(out).sources).flatMap(({ shards }) => shards.map(({ tokens }) => tokens.split("/")[1] ?? ""));
}

/** What a pipeline needs of its store, which others may share. Other pipelines do not remove it. */
export class NeededObjects {
  readonly #store: OutputStore;
  #registration: Registration;
  /** Whether another pipeline needs a key too. */
  readonly isOfOthers: (key: string) => boolean;

  private constructor(store: OutputStore, registration: Registration, others: readonly Registration[]) {
    [this.#store, this.#registration] = [store, registration];
    this.isOfOthers = keysOf(others);
  }

  /** @throws LapidaryError LAP_DATA_STORE, LAP_DATA_REMOTE, LAP_FILE_… */
  static async register(store: OutputStore, registration: Registration): Promise<NeededObjects> {
    await store.register(registration);
    const others = (await store.registrations()).filter(({ id }) => id !== registration.id);
    return new NeededObjects(store, registration, others);
  }

  /** Adds the objects of some keys before they are stored. */
  async add(keys: readonly string[]): Promise<void> {
    this.#registration = { ...this.#registration, keys: [...this.#registration.keys, ...keys] };
    await this.#store.register(this.#registration);
  }
}

/** Whether one of some pipelines needs a key. */
export function keysOf(registrations: readonly Registration[]): (key: string) => boolean {
  const keys = new Set(registrations.flatMap((each) => each.keys));
  return (key) => keys.has(key);
}

/** Names the pipeline of an output directory in stores that it shares with others. It stays if the directory moves. */
function pipelineId(out: string): string {
  const path = join(out, "pipeline-id");
  if (!existsSync(path)) replaceFile(path, `${randomUUID()}\n`);
  return readFileSync(path, "utf8").trim();
}
