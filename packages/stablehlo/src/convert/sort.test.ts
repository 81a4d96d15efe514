import { match, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { checkExported, exportedValues } from "../testing/exported.js";
import { goldenText } from "../testing/golden.js";
import { importStep } from "./import-step.js";

describe("sorts", () => {
  for (const [name, values] of Object.entries(exportedValues("sorts")))
    it(`${name}: equal keys keep their order, as in JAX`, () => checkExported(`sorts/${name}.mlir`, values));

  it("a comparator of two keys is refused", () => {
    const text = goldenText("sorts/sortval.mlir").replace(
      /compare\s+LT, (%\w+), (%\w+),\s+TOTALORDER/,
      "compare LT, %arg3, %arg6, TOTALORDER",
    );
    throws(
      () => importStep(text, "t.mlir"),
      (error: unknown) => {
        match(error instanceof LapidaryError ? error.message : "", /sort: its comparator is not one comparison of one operand/);
        return true;
      },
    );
  });
});
