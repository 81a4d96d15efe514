import { match } from "node:assert/strict";
import { stepProfileText } from "./step-profile-text.js";

describe("the text of a step profile", () => {
  it("the table shows milliseconds and share of each part and of the longest calls", () => {
    const split_ms = { products: 4, fused: 0.2, other_kernels: 0, messages: 0.2, waiting: 0.3, between_calls: 0.05 };
    const calls = [{ name: "layers.*.up", kind: "product", phase: "forward", count: 2, ms: 4 }];
    match(
      stepProfileText({ steps: 3, step_ms: 4.75, split_ms, calls, each: [] }),
      /matmuls\s+4\.00\s+84\.2 %[^]*layers\.\*\.up\s+forward\s+2\s+4\.00/,
    );
  });
});
