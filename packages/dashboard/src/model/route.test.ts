import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { colourings, emptyView, panels, parseRoute, printRoute, type Route, type RunView } from "./route.js";

const text = fc.string({ unit: "binary", maxLength: 20 });
const span = fc
  .tuple(fc.integer({ min: 0, max: 99_000 }), fc.integer({ min: 1, max: 999 }))
  .map(([from, width]) => ({ from, to: from + width }));
const views: fc.Arbitrary<RunView> = fc
  .record(
    {
      panel: fc.constantFrom(...panels),
      chip: fc.integer({ min: 0, max: 5000 }),
      op: fc.integer({ min: 0, max: 99_999 }),
      calls: fc.integer({ min: 0, max: 99_999 }),
      tensor: text.filter((t) => t !== ""),
      axis: text.filter((t) => t !== ""),
      time: span,
      steps: span,
      prompt: text.filter((t) => t !== ""),
      sampled: fc.uniqueArray(fc.integer({ min: 0, max: 999_999 }), { minLength: 1, maxLength: 8 }),
    },
    { requiredKeys: [] },
  )
  .chain((some) => fc.record({ colour: fc.constantFrom(...colourings), log: text, source: text }).map((rest) => ({ ...some, ...rest })));

describe("route", () => {
  it("a printed route parses back to every panel and selection", () => {
    fc.assert(
      fc.property(
        text.filter((id) => id !== "" && !/^\.+$/.test(id)),
        views,
        (id, view) => {
          const route: Route = { page: "run", id, view };
          deepStrictEqual(parseRoute(printRoute(route)), route);
        },
      ),
    );
  });

  it("parseRoute ignores invalid values", () => {
    deepStrictEqual(parseRoute("#/run/a?panel=nope&chip=-1&colour=red&time=9~3&op=x&sampled=1.x"), {
      page: "run",
      id: "a",
      view: emptyView,
    });
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (hash) =>
        ["runs", "run", "pipeline", "compare", "launch", "unknown"].includes(parseRoute(`#${hash}`).page),
      ),
    );
  });

  it("an unknown page keeps its name", () => {
    deepStrictEqual(parseRoute("#/nowhere/at/all"), { page: "unknown", text: "/nowhere/at/all" });
    strictEqual(parseRoute("").page, "runs");
    deepStrictEqual(parseRoute("#/pipeline/p%20q"), { page: "pipeline", id: "p q" });
    deepStrictEqual(parseRoute("#/compare?a=x&b=y"), { page: "compare", a: "x", b: "y" });
  });
});
