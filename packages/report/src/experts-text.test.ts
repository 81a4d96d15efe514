import { strictEqual } from "node:assert/strict";
import { expertsText } from "./experts-text.js";

describe("the load of experts", () => {
  it("the text has the choices of each expert in their order, the busiest expert and the dropped share", () => {
    strictEqual(
      expertsText({ "expert_tokens.1": 30, "expert_tokens.0": 10, "expert_dropped.0": 4, expert_dropped_share: 0.1, kl: 2 }),
      "expert 1 has 1.50 × the mean of 20 choices (10, 30), 10.0 % of the choices dropped",
    );
  });

  it("more than 16 experts are not listed, and a run without experts has no text", () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, e) => [`expert_tokens.${e}`, e === 4 ? 18 : 1]));
    strictEqual(expertsText(many), "expert 4 has 9.00 × the mean of 2 choices");
    strictEqual(expertsText({ kl: 2 }), undefined);
    strictEqual(expertsText(undefined), undefined);
  });
});
