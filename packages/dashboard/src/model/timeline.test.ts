import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { ViewValue } from "@lapidary/api/program-view";
import fc from "fast-check";
import { barAt, type Lane, neighbour, ticks, timelineModel, clampSpan, zoomed } from "./timeline.js";

const value = (id: number): ViewValue => ({ id, name: `v${id}`, op: "add", dtype: "f32", dims: [], local_dims: [], sharding: "[]" });
const lane: Lane = { name: "compute", bars: [0, 1, 2].map((i) => ({ value: value(i), from: i * 10, to: i * 10 + 4 })) };

describe("timeline", () => {
  it("barAt returns the bar at a time, or the nearest within the slack", () => {
    strictEqual(barAt(lane, 12, 0)?.value.id, 1);
    strictEqual(barAt(lane, 6, 1), undefined);
    strictEqual(barAt(lane, 9.5, 1)?.value.id, 1);
    strictEqual(barAt(lane, 4.5, 1)?.value.id, 0);
  });

  it("neighbour goes from bar to bar, and starts at an end", () => {
    strictEqual(neighbour(lane, 1, 1)?.value.id, 2);
    strictEqual(neighbour(lane, 2, 1), undefined);
    strictEqual(neighbour(lane, 99, 1)?.value.id, 0);
    strictEqual(neighbour(lane, 99, -1)?.value.id, 2);
  });

  it("zooming keeps the point under the pointer fixed, and stays within the step", () => {
    const before = { from: 20, to: 60 };
    const after = zoomed(before, 30, 0.5, 100);
    strictEqual((30 - after.from) / (after.to - after.from), 0.25);
    fc.assert(
      fc.property(fc.double({ min: -500, max: 500, noNaN: true }), fc.double({ min: 0.001, max: 500, noNaN: true }), (from, width) => {
        const span = clampSpan({ from, to: from + width }, 100);
        ok(span.from >= 0 && span.to <= 100 + 1e-9 && span.from < span.to);
      }),
    );
  });

  it("ticks returns round positions, at most the limit", () => {
    deepStrictEqual(ticks({ from: 0, to: 433 }, 5), [0, 100, 200, 300, 400]);
    deepStrictEqual(ticks({ from: 0.31, to: 0.52 }, 4), [0.4, 0.5]);
  });
});

describe("timeline lanes", () => {
  it("concurrent transfers over one axis are in separate rows", () => {
    const at = (id: number, start_us: number, duration_us: number): ViewValue => ({ ...value(id), lane: "data", start_us, duration_us });
    const view = {
      values: [at(1, 0, 10), at(2, 5, 10), at(3, 12, 2), { ...value(4), lane: "compute", start_us: 0, duration_us: 1 }],
      timeline: { total_us: 20, lanes: ["compute", "data"] },
    };
    deepStrictEqual(
      timelineModel(view).lanes.map(({ name, bars }) => [name, bars.map((bar) => bar.value.id)]),
      [
        ["compute", [4]],
        ["data", [1, 3]],
        ["data", [2]],
      ],
    );
  });
});
