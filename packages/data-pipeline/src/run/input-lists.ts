import { Account, type OutputStore, type StoredObject } from "@lapidary/data-store";
import { assert, ensure } from "@lapidary/std";
import type { Plan, Task } from "../plan/plan.js";
import type { GatherInputs } from "../stages/stage.js";
import { jsonLines, parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";

/**
 * Stores the lists of inputs of a plan, so that tasks name them.
 *
 * @throws LapidaryError LAP_DATA_STORE, LAP_DATA_REMOTE, LAP_FILE_…
 */
export async function storeInputLists(store: OutputStore, { lists }: Plan): Promise<void> {
  for (const [list, keys] of lists)
    await store.write(list, async function* () {
      yield jsonLines(keys);
      return new Account().counts("keys");
    });
}

/** What a step reads of other steps. Memory is that of the keys. */
export async function openInputs(store: OutputStore, { inputs, sources }: Task, scratch: string): Promise<GatherInputs> {
  const byStep = new Map<string, readonly string[]>();
  for (const { step, list } of inputs) byStep.set(step, await listed(store, list));
  const objects = [...byStep.values()].flat();
  const accounts = new AccountsAhead(store, objects);
  return {
    objects,
    of(step) {
      const keys = byStep.get(step);
      assert(keys !== undefined, "a step reads the objects of the steps that it names", step);
      return keys;
    },
    async *read(key, partition) {
      yield* store.read(await accounts.find(key), partition);
    },
    sources: sources.flatMap(([source, shards]) => Array.from({ length: shards }, () => source)),
    scratch,
  };
}

async function listed(store: OutputStore, list: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const key of parsedLines(store.read(await storedObject(store, list), 0))) keys.push(key as string);
  return keys;
}

/** Accounts that are read before they are needed: a store that is not on this machine answers slowly, and answers many requests at a time. */
const accountsAhead = 32;

/** The accounts of objects, which are asked for in order. Memory is that of a few of them. */
class AccountsAhead {
  readonly #store: OutputStore;
  readonly #keys: readonly string[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #asked = new Map<string, Promise<StoredObject>>();

  constructor(store: OutputStore, keys: readonly string[]) {
    [this.#store, this.#keys] = [store, keys];
    this.#places = new Map(keys.map((key, place) => [key, place]));
  }

  /** @throws LapidaryError LAP_DATA_STORE if the object is absent */
  async find(key: string): Promise<StoredObject> {
    if (!this.#asked.has(key)) {
      const place = ensure(this.#places.get(key), "an input");
      for (const each of this.#keys.slice(place, place + accountsAhead)) this.#ask(each);
    }
    const found = ensure(this.#asked.get(key), "a request");
    this.#asked.delete(key);
    return found;
  }

  #ask(key: string): void {
    if (this.#asked.has(key)) return;
    const asked = storedObject(this.#store, key);
    // An error is that of the task when it needs the object.
    asked.catch(() => undefined);
    this.#asked.set(key, asked);
  }
}
