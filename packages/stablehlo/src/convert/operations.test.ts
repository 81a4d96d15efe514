import { deepEqual } from "node:assert/strict";
import { checkExported, exportedValues } from "../testing/exported.js";
import { goldenTexts } from "../testing/golden.js";

/** Functions of one or two operations that JAX 0.4.35 exported, with the arrays that it computed. */
const values = exportedValues("ops");

describe("operations of JAX", () => {
  for (const [name, each] of Object.entries(values))
    it(`${name}: the graph computes what JAX computes`, () => checkExported(`ops/${name}.mlir`, each));

  it("there are values for every text", () =>
    deepEqual(
      goldenTexts().filter((path) => path.startsWith("ops/")),
      Object.keys(values)
        .map((name) => `ops/${name}.mlir`)
        .sort(),
    ));
});
