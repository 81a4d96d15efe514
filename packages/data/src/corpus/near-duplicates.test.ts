import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { prose } from "@lapidary/std/testing";
import { mitLicense } from "../testing/texts.js";
import { NearDuplicates } from "./near-duplicates.js";

describe("near-duplicates", () => {
  const index = (): NearDuplicates => new NearDuplicates(1e6);

  it("a text with other line breaks, case and name is a duplicate, and other prose is not", () => {
    const seen = index();
    seen.add(seen.shingles(mitLicense));
    const variant = seen.shingles(mitLicense.replace("Somebody", "E. L. Se").replace(/\s+/g, " ").toUpperCase());
    ok(seen.seenFraction(variant) > 0.8);
    strictEqual(seen.seenFraction(seen.shingles(prose(20, 20))), 0);
  });

  it("texts that share a part are in one group, also if only a third text connects them", () => {
    const seen = index();
    const [a, b, c] = [prose(21, 10), prose(22, 10), prose(23, 10)];
    const numbers = [a, b, c, `${a}${b}`].map((text) => seen.add(seen.shingles(text)));
    deepStrictEqual(
      numbers.map((number) => seen.group(number)),
      [0, 0, 2, 0],
    );
  });

  it("a copy is found even if only a sample of the shingles is stored", () => {
    const seen = new NearDuplicates(1e8);
    seen.add(seen.shingles(prose(24, 400)));
    strictEqual(seen.seenFraction(seen.shingles(prose(24, 400))), 1);
  });
});
