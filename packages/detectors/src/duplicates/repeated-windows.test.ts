import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { repeatedWindows } from "./repeated-windows.js";

/** All windows in a table. */
function byDefinition(documents: readonly Uint8Array[], size: number): (readonly [number, number])[][] {
  const starts = (bytes: Uint8Array): number[] => Array.from({ length: Math.max(0, bytes.length - size + 1) }, (_, i) => i);
  const windowAt = (bytes: Uint8Array, start: number): string => bytes.slice(start, start + size).join();
  const counts = new Map<string, number>();
  for (const bytes of documents)
    for (const start of starts(bytes)) counts.set(windowAt(bytes, start), (counts.get(windowAt(bytes, start)) ?? 0) + 1);
  return documents.map((bytes) => {
    const isCovered = new Uint8Array(bytes.length);
    for (const start of starts(bytes)) if ((counts.get(windowAt(bytes, start)) ?? 0) > 1) isCovered.fill(1, start, start + size);
    const edges = Array.from({ length: bytes.length + 1 }, (_, i) => i).filter((i) => (isCovered[i] ?? 0) !== (isCovered[i - 1] ?? 0));
    return edges.flatMap((start, i) => (i % 2 === 0 ? [[start, edges[i + 1] ?? 0] as const] : []));
  });
}

describe("repeated windows", () => {
  it("spans cover exactly the windows that occur twice, in random documents of few different bytes", () => {
    const documents = fc.array(fc.uint8Array({ max: 2, maxLength: 40 }), { maxLength: 5 });
    fc.assert(
      fc.property(documents, fc.integer({ min: 1, max: 9 }), (some, size) =>
        deepStrictEqual(repeatedWindows(some, size), byDefinition(some, size)),
      ),
    );
  });

  it("a document that is shorter than a window has no span, and one byte repeated has one", () => {
    deepStrictEqual(repeatedWindows([new Uint8Array(99), new Uint8Array(0)], 100), [[], []]);
    deepStrictEqual(repeatedWindows([new Uint8Array(101)], 100), [[[0, 101]]]);
  });
});
