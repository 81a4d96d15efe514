/** Stores objects until it is killed or all are there. Prints a line before each step. Arguments: root, number of objects, number of the line to stop at. */
import { Account, type AccountCounts } from "../account.js";
import { ObjectStore } from "../object-store.js";
import { keyOf, partBytes, partsOfObject } from "./objects.js";

const [root = "", objects = "0", stopAt = "-1"] = process.argv.slice(2);
const progress = { lines: 0 };

/** After the given line, the process waits to be killed. */
async function step(): Promise<void> {
  const isLast = progress.lines === Number(stopAt);
  process.stdout.write(`${progress.lines++}\n`);
  if (isLast) await new Promise(() => setInterval(() => undefined, 60_000));
}

async function* produce(object: number): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
  const account = new Account();
  async function* chunks(part: number): AsyncGenerator<Uint8Array> {
    await step();
    for (const bytes of [partBytes(object, part), partBytes(object, part + 1)]) yield bytes;
    account.enter();
    account.deliver("text");
    await step();
  }
  for (let part = 0; part < partsOfObject; part++) yield chunks(part);
  return account.counts(`object ${object}`);
}

const store = new ObjectStore(root);
for (const object of Array(Number(objects)).keys()) {
  await store.write(keyOf(object), () => produce(object));
  await step();
}
