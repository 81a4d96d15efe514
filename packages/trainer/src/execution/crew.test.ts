import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Crew } from "./crew.js";

describe("a crew", () => {
  it("shrinks when workers cannot be started twice in a row, to one at least, and is complete again when they can", () => {
    const crew = new Crew(3);
    deepStrictEqual([crew.refused(), crew.size], [false, 3]);
    crew.started();
    deepStrictEqual([crew.refused(), crew.refused(), crew.size, crew.missing], [false, true, 2, 1]);
    for (let i = 0; i < 9; i++) crew.refused();
    strictEqual(crew.size, 1);
    crew.complete();
    deepStrictEqual([crew.size, crew.missing], [3, 0]);
  });
});
