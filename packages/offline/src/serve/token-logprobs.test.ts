import { deepStrictEqual, ok } from "node:assert/strict";
import { tokenLogprobs } from "./token-logprobs.js";

describe("log probabilities of a token", () => {
  const logits = Float32Array.from([0.1, 0.4, 0.4, 0.1].map((p) => Math.log(p) + 500));

  it("the probabilities do not depend on a common shift of the logits", () => {
    const { logprob, top } = tokenLogprobs(logits, 3, 4);
    ok(Math.abs(Math.exp(logprob) - 0.1) < 1e-4, `${logprob}`);
    deepStrictEqual(
      top.map(({ id }) => id),
      [1, 2, 0, 3],
    );
    ok(Math.abs(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0) - 1) < 1e-9);
  });

  it("as many likeliest tokens are returned as requested and exist", () => {
    deepStrictEqual(tokenLogprobs(logits, 0, 0).top, []);
    deepStrictEqual(
      tokenLogprobs(logits, 0, 1).top.map(({ id }) => id),
      [1],
    );
    deepStrictEqual(tokenLogprobs(logits, 0, 20).top.length, 4);
  });
});
