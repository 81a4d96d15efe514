import { doesNotThrow, throws } from "node:assert/strict";
import type { Executable } from "@lapidary/executor";
import { type RunValues, handleOf } from "@lapidary/protocol";
import { checkValues } from "./run-program.js";

/** A program of two parameters, a number and a vector as outputs. */
const program = {
  tensors: { parameters: [{ dims: [2] }, { dims: [2] }], outputs: [{ dims: [] }, { dims: [2] }] },
} as unknown as Executable;

type Texts = { readonly [K in "inputs" | "donate"]: readonly string[] } & {
  readonly outputs: readonly (string | null)[];
  readonly told: readonly number[];
};
const check = (change: Partial<Texts>): void => {
  const { inputs, outputs, donate, told }: Texts = { inputs: ["a", "b"], outputs: ["l", "a"], donate: ["a"], told: [0], ...change };
  const values: RunValues = {
    inputs: inputs.map(handleOf),
    outputs: outputs.map((id) => (id === null ? null : handleOf(id))),
    donate: donate.map(handleOf),
    told: [...told],
  };
  checkValues(values, program);
};

describe("the handles of a run", () => {
  it("a run has an input for each parameter, and an id or null for each output", () => {
    doesNotThrow(() => check({}));
    doesNotThrow(() => check({ outputs: [null, null], donate: [] }));
    throws(() => check({ inputs: ["a"] }), /an input for each parameter/);
    throws(() => check({ inputs: ["a", "b", "c"] }), /an input for each parameter/);
    throws(() => check({ outputs: ["l"] }), /an id for each output/);
    throws(() => check({ outputs: ["l", "l"] }), /ids of their own/);
  });

  it("a donated value is an input, named once", () => {
    doesNotThrow(() => check({ donate: ["a", "b"] }));
    doesNotThrow(() => check({ inputs: ["a", "a"], donate: [] }));
    throws(() => check({ donate: ["c"] }), /donated value/);
    throws(() => check({ donate: ["a", "a"] }), /donated value/);
    // The program would read the value after it was overwritten.
    throws(() => check({ inputs: ["a", "a"], donate: ["a"] }), /donated value/);
  });

  it("an output that the reply returns is one number", () => {
    throws(() => check({ told: [1] }), /one number/);
    throws(() => check({ told: [2] }), /output 2/);
  });
});
