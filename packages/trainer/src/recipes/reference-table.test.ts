import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EncodedPair, PreferenceBatch } from "@lapidary/data";
import { ensure } from "@lapidary/std";
import { ReferenceTable } from "./reference-table.js";

const pairOf = (chosen: number, rejected: number): EncodedPair => {
  const row = (id: number): EncodedPair["chosen"] => ({ file: "f", row: id, ids: Int32Array.of(2, id), mask: Uint8Array.of(0, 1) });
  return { file: "f", row: chosen, chosen: row(chosen), rejected: row(rejected), margin: 0 };
};
const pairs = [pairOf(10, 11), pairOf(12, 13), pairOf(14, 15)];

describe("the table of the reference", () => {
  const root = mkdtempSync(join(tmpdir(), "lapidary-reference-"));
  after(() => rmSync(root, { recursive: true, force: true }));
  const activities: (number | undefined)[] = [];
  /** The "log-probability" of a row is its second id. */
  const open = async (
    cacheDir: string,
    change: { key?: readonly string[]; pairs?: readonly EncodedPair[] } = {},
  ): Promise<[ReferenceTable, number]> => {
    let batches = 0;
    const compute = async ({ tokens, rows, seq }: PreferenceBatch): Promise<number[]> => {
      batches++;
      return Array.from({ length: rows }, (_, row) => ensure(tokens[row * seq + 1], "token"));
    };
    const onActivity = (activity: { done: number } | undefined): unknown => activities.push(activity?.done);
    const options = { pairs, batch: 2, seq: 4, key: ["weights"], cacheDir, compute, onActivity, ...change };
    return [await ReferenceTable.open(options), batches];
  };
  const valuesOf = (table: ReferenceTable, some = pairs): (readonly number[])[] =>
    some.map((pair) => [table.of(pair).chosen, table.of(pair).rejected]);

  it("each pair has the numbers of its own rows, and the last batch may be partly filled", async () => {
    const [table, batches] = await open(join(root, "one"));
    deepStrictEqual(valuesOf(table), [
      [10, 11],
      [12, 13],
      [14, 15],
    ]);
    strictEqual(batches, 2);
    deepStrictEqual(activities, [0, 2, undefined]);
  });

  it("a later attempt with the same pairs and weights computes nothing, also if it read the pairs again", async () => {
    await open(join(root, "two"));
    const again = pairs.map(({ chosen, rejected }) => pairOf(chosen.row, rejected.row));
    const [table, batches] = await open(join(root, "two"), { pairs: again });
    strictEqual(batches, 0);
    deepStrictEqual(valuesOf(table, again), [
      [10, 11],
      [12, 13],
      [14, 15],
    ]);
  });

  it("other weights or other pairs are another table", async () => {
    await open(join(root, "three"));
    strictEqual((await open(join(root, "three"), { key: ["others"] }))[1], 2);
    strictEqual((await open(join(root, "three"), { pairs: pairs.slice(0, 2) }))[1], 1);
  });

  it("a damaged file is not used", async () => {
    const cache = join(root, "four");
    await open(cache);
    const directory = join(cache, "reference-log-probs");
    for (const name of readdirSync(directory)) writeFileSync(join(directory, name), "0\n[1,2,3,4,5,6]");
    const [table, batches] = await open(cache);
    deepStrictEqual([batches, valuesOf(table)[0]], [2, [10, 11]]);
  });
});
