import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { parsePipeline } from "../file/pipeline-file.js";
import { execute } from "../run/execute.js";
import { makePlan } from "./make-plan.js";
import type { Plan } from "./plan.js";
import type { Shard } from "./shard.js";

const yaml = `sources: { web: { read: ./web, licence: CC0-1.0 }, books: { read: ./books, licence: CC0-1.0 } }
stages:
  - measure: [gopher]
  - dedup: { exact: {}, near: {}, substring: {} }
  - tokenize: { train: { size: 600 } }
out: ./out
`;

const planOf = (directory: string, shards: number): Plan => {
  const shardOf = (_: unknown, i: number): Shard => {
    const source = i < shards / 2 ? "web" : "books";
    const sha256 = String(i).padStart(64, "0");
    return { source, name: `${source}/${i}`, files: [{ path: `/${i}`, file: `${i}`, sha256, bytes: 128e6 }] };
  };
  return makePlan(parsePipeline(yaml, join(directory, "p.yaml")), Array.from({ length: shards }, shardOf), () => "");
};

describe("the plan of a pipeline", () => {
  const directory = temporaryDirectory();

  it("has tasks whose size does not grow with the number of shards", () => {
    const largest = (plan: Plan): number => Math.max(...plan.tasks.map((task) => JSON.stringify(task).length));
    const [few, many] = [planOf(directory(), 8), planOf(directory(), 800)];
    ok(largest(many) < largest(few) + 20, `${largest(few)} ${largest(many)}`);
    const { sources } = ensure(
      many.tasks.find(({ shard }) => shard === undefined),
      "a gather",
    );
    deepStrictEqual(sources, [
      ["web", 400],
      ["books", 400],
    ]);
  });

  it("starts a task when all objects of its view and of its inputs are stored, and not before", async () => {
    const plan = planOf(directory(), 6);
    const stored = new Set<string>();
    const object = (key: string): Parameters<Parameters<typeof execute>[0]["onObject"]>[1] => ({
      key,
      account: { in: 0, out: 0, dropped: {}, bytes: 0, errors: [] },
      parts: [],
    });
    let done = 0;
    await execute({
      store: { find: async () => undefined } as unknown as Parameters<typeof execute>[0]["store"],
      plan,
      workers: 5,
      run: async (task) => {
        const needed = [...task.after, ...task.inputs.flatMap(({ list }) => ensure(plan.lists.get(list), "a list"))];
        ok(
          needed.every((key) => stored.has(key)),
          `${task.stage} ${task.step}`,
        );
        await new Promise((resolve) => setTimeout(resolve, task.partition % 3));
        stored.add(task.key);
        return object(task.key);
      },
      onObject: () => void done++,
    });
    strictEqual(done, plan.tasks.length);
  });
});
