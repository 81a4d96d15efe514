import { doesNotThrow, throws } from "node:assert/strict";
import { checkReference } from "./dpo.js";

/** The metrics of a step with this mean gain of log-probability, nats a completion of 4 tokens. */
const check = (gain: number, side: "reward_chosen" | "reward_rejected", beta: number): void => {
  const more = { reward_chosen: 0, reward_rejected: 0, [side]: beta * gain };
  checkReference({ loss: 1, grad_norm: 1, learning_rate: 1, tokens_counted: 16, more }, { rows: 4, targets: 16 }, beta);
};

describe("the reference of dpo", () => {
  it("a policy that differs from its reference before the first update is an error, whatever β is", () => {
    for (const beta of [0.01, 1, 10])
      for (const side of ["reward_chosen", "reward_rejected"] as const) {
        throws(() => check(0.008, side, beta), { code: "LAP_RL_REFERENCE" });
        throws(() => check(-0.008, side, beta), { code: "LAP_RL_REFERENCE" });
        doesNotThrow(() => check(0.002, side, beta));
      }
  });
});
