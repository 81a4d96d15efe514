import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { chipAt, chipOfPlace, cornerOf, placeOfChip, torusLayout } from "./torus-layout.js";

const shapes = fc.record({
  dims: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
  pods: fc.integer({ min: 1, max: 16 }),
  width: fc.integer({ min: 120, max: 1600 }),
});

describe("the drawing of a torus", () => {
  it("finds under the pointer the chip that it drew there", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0 }), ({ dims, pods, width }, n) => {
        const slice = { pod: 0, pods, origin: dims.map(() => 0), dims };
        const place = placeOfChip(slice, n % (pods * dims.reduce((a, b) => a * b, 1)));
        const layout = torusLayout(dims, pods, width, 600);
        const { x, y } = cornerOf(layout, place.pod, place.coordinates);
        deepStrictEqual(chipAt(layout, x + layout.cell / 2, y + layout.cell / 2), place);
      }),
    );
  });

  it("draws no two chips over one another", () => {
    const layout = torusLayout([4, 4], 3, 400, 600);
    const corners = new Set(
      Array.from({ length: 48 }, (_, chip) =>
        JSON.stringify(cornerOf(layout, Math.floor(chip / 16), [Math.floor((chip % 16) / 4), chip % 4])),
      ),
    );
    strictEqual(corners.size, 48);
    ok(layout.cell < layout.pitch);
  });

  it("fits sixteen pods side by side into a screen", () => {
    const layout = torusLayout([16, 16], 16, 1380, 640);
    ok(layout.width <= 1380 && layout.height <= 640, `${layout.width}×${layout.height}`);
    ok(layout.cell >= 6);
  });
});

describe("a slice", () => {
  it("numbers its chips row-major over pods, from its origin on, and back", () => {
    const slice = { pod: 1, pods: 2, origin: [8, 0], dims: [8, 16] };
    deepStrictEqual(placeOfChip(slice, 0), { pod: 1, coordinates: [8, 0] });
    deepStrictEqual(placeOfChip(slice, 129), { pod: 2, coordinates: [8, 1] });
    for (const chip of [0, 17, 129, 255]) {
      const { pod, coordinates } = placeOfChip(slice, chip);
      strictEqual(chipOfPlace(slice, pod, coordinates), chip);
    }
    strictEqual(chipOfPlace(slice, 0, [8, 0]), undefined);
    strictEqual(chipOfPlace(slice, 1, [7, 0]), undefined);
  });
});
