import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import { ExternalSort } from "./external-sort.js";
import { mergeRecords } from "./merge.js";
import { numberAt, putNumber, sortRecords } from "./record.js";
import { readRecords, recordFile } from "./record-file.js";
import { recordsOf, streamOf } from "./testing/records.js";

/** Records of few different bytes, so that many are equal. */
const records = (width: number): fc.Arbitrary<number[][]> =>
  fc.array(fc.array(fc.constantFrom(0, 1, 255), { minLength: width, maxLength: width }), { maxLength: 60 });
const byBytes = (a: readonly number[], b: readonly number[]): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const distinct = (some: readonly (readonly number[])[]): (readonly number[])[] =>
  some.filter((each, i) => i === 0 || byBytes(each, some[i - 1] ?? []) !== 0);

describe("sorted records on disk", () => {
  const directory = temporaryDirectory();

  it("numbers of up to 48 bits have the order of their bytes", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (x, y) => {
        const numbers = [x % 2 ** 48, y % 2 ** 48];
        const bytes = new Uint8Array(12);
        for (const [i, each] of numbers.entries()) putNumber(bytes, 6 * i, 6, each);
        const sorted = sortRecords(bytes, 6);
        deepStrictEqual(
          [numberAt(sorted, 0, 6), numberAt(sorted, 6, 6)],
          numbers.toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it("a sort of many records by digits of two bytes gives the order of their bytes", () => {
    const random = seededRandom(1);
    const records = Array.from({ length: 12_000 }, () => Array.from({ length: 3 }, () => random.integer(random.integer(256) + 1)));
    deepStrictEqual([...sortRecords(Uint8Array.from(records.flat()), 3)], records.toSorted(byBytes).flat());
  });

  it("a sort of many runs equals a sort in memory, for every width, with and without repeated records", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }).chain((width) => fc.tuple(fc.constant(width), records(width))),
        fc.boolean(),
        ([width, some], isUnique) => {
          // One record a run, so that up to 60 runs need more than one level of merges.
          const sort = new ExternalSort(width, { directory: join(directory(), "runs"), memoryBytes: 1, isUnique });
          sort.addAll(streamOf(some, width));
          const sorted = some.toSorted(byBytes);
          const file = sort.finish(join(directory(), "sorted"));
          deepStrictEqual(recordsOf(readRecords(file)), isUnique ? distinct(sorted) : sorted);
          deepStrictEqual(recordFile(file.path, width), file);
        },
      ),
      { numRuns: 30 },
    );
    strictEqual(existsSync(join(directory(), "runs")), false);
  });

  it("equal records of merged streams come in the order of the streams", () => {
    const merged = mergeRecords(
      [
        streamOf([[1, 1]], 2),
        streamOf(
          [
            [0, 2],
            [1, 2],
          ],
          2,
        ),
        streamOf([], 2),
        streamOf([[1, 0]], 2),
      ],
      1,
    );
    deepStrictEqual(recordsOf(merged), [[0], [1], [1], [1]]);
  });

  it("a partition that is cut off, longer, of another width, or has a flipped bit, is refused by its name", () => {
    const path = join(directory(), "part");
    const written = (): Buffer => {
      const sort = new ExternalSort(3, { directory: join(directory(), "runs") });
      for (let i = 0; i < 50; i++) sort.add(Uint8Array.of(i, i, i));
      sort.finish(path);
      return readFileSync(path);
    };
    const read = (): unknown => recordsOf(readRecords(recordFile(path, 3)));
    const refused = { code: "LAP_DATA_STORE", location: path };
    const bytes = written();
    for (const size of [0, 10, 150, bytes.length - 1]) {
      written();
      truncateSync(path, size);
      throws(read, refused, `cut to ${size} bytes`);
    }
    for (let at = 0; at < bytes.length; at++) {
      writeFileSync(
        path,
        bytes.map((byte, i) => (i === at ? byte ^ 4 : byte)),
      );
      throws(read, refused, `byte ${at} is flipped`);
    }
    writeFileSync(path, Buffer.concat([Buffer.alloc(3), bytes]));
    throws(read, refused);
    throws(() => recordFile(path, 4), refused);
    writeFileSync(path, bytes);
    strictEqual(recordsOf(readRecords(recordFile(path, 3))).length, 50);
  });
});
