import { deepStrictEqual, throws } from "node:assert/strict";
import { option, parseOptions } from "./options.js";

const specs = {
  share: option.number({ describe: "a share", default: 0.5, min: 0, max: 1 }),
  rows: option.integer({ describe: "rows" }),
  on: option.boolean({ describe: "a switch", default: false }),
  label: option.text({ describe: "a text", default: "x" }),
  kind: option.choice(["mean", "sum"], { describe: "a reduction", default: "mean" }),
};

describe("the options of a user's recipe", () => {
  it("options have the values of the job, and the defaults of the recipe", () => {
    deepStrictEqual(parseOptions(specs, { rows: 2, on: true }), { share: 0.5, rows: 2, on: true, label: "x", kind: "mean" });
  });

  it("an unknown, missing or wrong option is refused at its key", () => {
    const refused = (given: Record<string, unknown>, location: string, message: RegExp): void =>
      throws(() => parseOptions(specs, { rows: 1, ...given }), { code: "LAP_RECIPE_OPTION", location, message });
    refused({ shar: 1 }, "options.shar", /no option "shar"/);
    refused({ rows: undefined }, "options.rows", /rows is missing/);
    refused({ share: 2 }, "options.share", /at most 1/);
    refused({ share: -1 }, "options.share", /at least 0/);
    refused({ share: Number.NaN }, "options.share", /finite/);
    refused({ rows: 1.5 }, "options.rows", /whole number/);
    refused({ on: 1 }, "options.on", /true or false/);
    refused({ label: 1 }, "options.label", /a text/);
    refused({ kind: "max" }, "options.kind", /one of mean, sum/);
  });
});
