import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { ObjectStore, type StoredObject } from "@lapidary/data-store";
import { ensure } from "@lapidary/std";
import { prose, temporaryDirectory } from "@lapidary/std/testing";
import type { GatherInputs, StageOutput, Step } from "../stages/stage.js";
import type { ShardView } from "../view/view.js";
import { copySteps, exactCopies } from "./find-copies.js";

const texts = Array.from({ length: 600 }, (_, i) => prose(i % 450, 2));
const view: ShardView = {
  source: "web",
  name: "web/0",
  files: () => [],
  columns: new Map(),
  setAside: new Set(),
  async *documents() {
    for (const [row, text] of texts.entries())
      yield { row, id: String(row).padStart(64, "0"), name: `d${row}`, file: "a", place: "line", html: false, text, values: {} };
  },
};

/** The gathers of pairs of all partitions: what each read, and the pairs that they wrote. */
async function gathered(root: string, partitions: number): Promise<{ readonly read: readonly number[]; readonly pairs: string }> {
  const store = new ObjectStore(root);
  const [keys, pairs] = copySteps(2, () => ({ method: exactCopies("all"), keepBy: ["length", "id"], partitionBytes: 1 }));
  const write = (key: string, run: () => StageOutput): Promise<StoredObject> => store.write(key.padEnd(64, "0"), run);
  let bytes = 0;
  const inputs = (objects: readonly StoredObject[]): GatherInputs => ({
    objects: objects.map(({ key }) => key),
    of: () => objects.map(({ key }) => key),
    async *read(key, partition) {
      for await (const chunk of store.read(ensure(await store.find(key), key), partition)) {
        bytes += chunk.length;
        yield chunk;
      }
    },
    sources: ["web"],
    scratch: store.makeScratch("a".padEnd(64, "0")),
  });
  const settings = {};
  const scatter = stepOf(keys, "scatter");
  const gather = stepOf(pairs, "gather");
  const scattered = await write("a", () => scatter.run(view, inputs([]), 0, settings, partitions + 1));
  const read: number[] = [];
  let found = "";
  for (let partition = 0; partition < partitions; partition++) {
    bytes = 0;
    const object = await write(`b${partition.toString(16)}`, () =>
      gather.run(inputs([scattered]), partition, gather.partitions(settings, partitions + 1), settings),
    );
    read.push(bytes);
    for (const part of object.parts.keys()) for await (const chunk of store.read(object, part)) found += chunk.toString("hex");
  }
  return { read, pairs: (found.match(/.{24}/g) ?? []).sort().join() };
}

function stepOf<Shape extends Step<unknown>["shape"]>(
  step: Step<unknown> | undefined,
  shape: Shape,
): Extract<Step<unknown>, { shape: Shape }> {
  ok(step?.shape === shape);
  return step as Extract<Step<unknown>, { shape: Shape }>;
}

describe("partitions of keys", () => {
  const directory = temporaryDirectory();

  it("2 and 16 partitions find the same pairs and read the same bytes, and each reads its share only", async () => {
    const few = await gathered(join(directory(), "2"), 2);
    const many = await gathered(join(directory(), "16"), 16);
    strictEqual(many.pairs, few.pairs);
    ok(ensure(few.pairs.match(/,/g), "pairs").length > 100);
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
    deepStrictEqual(sum(many.read), sum(few.read));
    ok(Math.max(...many.read) < sum(many.read) / 8, String(many.read));
  });
});
