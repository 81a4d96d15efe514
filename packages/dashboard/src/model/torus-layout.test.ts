import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { chipAt, chipAtPosition, cornerOf, positionOfChip, torusLayout } from "./torus-layout.js";

const shapes = fc.record({
  dims: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
  pods: fc.integer({ min: 1, max: 16 }),
  width: fc.integer({ min: 120, max: 1600 }),
});

describe("torus layout", () => {
  it("chipAt returns the chip that is drawn at a point", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0 }), ({ dims, pods, width }, n) => {
        const slice = { pod: 0, pods, origin: dims.map(() => 0), dims };
        const place = positionOfChip(slice, n % (pods * dims.reduce((a, b) => a * b, 1)));
        const layout = torusLayout(dims, pods, width, 600);
        const { x, y } = cornerOf(layout, place.pod, place.coordinates);
        deepStrictEqual(chipAt(layout, x + layout.cell / 2, y + layout.cell / 2), place);
      }),
    );
  });

  it("no two chips overlap", () => {
    const layout = torusLayout([4, 4], 3, 400, 600);
    const corners = new Set(
      Array.from({ length: 48 }, (_, chip) =>
        JSON.stringify(cornerOf(layout, Math.floor(chip / 16), [Math.floor((chip % 16) / 4), chip % 4])),
      ),
    );
    strictEqual(corners.size, 48);
    ok(layout.cell < layout.pitch);
  });

  it("sixteen pods fit on a screen", () => {
    const layout = torusLayout([16, 16], 16, 1380, 640);
    ok(layout.width <= 1380 && layout.height <= 640, `${layout.width}×${layout.height}`);
    ok(layout.cell >= 6);
  });
});

describe("slice", () => {
  it("chip numbers are row-major over pods and slice, and convert to positions and back", () => {
    const slice = { pod: 1, pods: 2, origin: [8, 0], dims: [8, 16] };
    deepStrictEqual(positionOfChip(slice, 0), { pod: 1, coordinates: [8, 0] });
    deepStrictEqual(positionOfChip(slice, 129), { pod: 2, coordinates: [8, 1] });
    for (const chip of [0, 17, 129, 255]) {
      const { pod, coordinates } = positionOfChip(slice, chip);
      strictEqual(chipAtPosition(slice, pod, coordinates), chip);
    }
    strictEqual(chipAtPosition(slice, 0, [8, 0]), undefined);
    strictEqual(chipAtPosition(slice, 1, [7, 0]), undefined);
  });
});
