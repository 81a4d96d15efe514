import { deepStrictEqual, throws } from "node:assert/strict";
import { ExitCode } from "@lapidary/std";
import { partsOf } from "./post-parity.js";

describe("parts of a bundle of post-training", () => {
  it("the named parts run in the order of the recipes, each once", () => {
    deepStrictEqual(partsOf("grpo, dpo,sft,dpo"), ["sft", "dpo", "grpo"]);
    deepStrictEqual(partsOf(undefined), ["chat", "sft", "lora", "reward", "dpo", "rollout", "rloo", "grpo", "ppo", "generation"]);
  });

  it("an unknown part is refused with the nearest name", () => {
    throws(() => partsOf("sft,gpro"), {
      code: "LAP_PARITY_OPTION",
      location: "--part",
      exit: ExitCode.usage,
      remedy: /did you mean grpo\?/,
    });
    throws(() => partsOf(""), { code: "LAP_PARITY_OPTION" });
  });
});
