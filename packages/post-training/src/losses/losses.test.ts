import { deepStrictEqual, ok } from "node:assert/strict";
import { gradients } from "@lapidary/compiler";
import { GraphBuilder, interpret, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type LossCase, type LossInputs, lossCases, lossInputs } from "../testing/loss-cases.js";
import { entropyOf, klOf } from "../testing/plain-losses.js";
import { entropy, fullKl } from "./log-probs.js";
import { rlooLoss } from "./policy.js";

const seeds = [1, 2, 3, 4, 5];

/** Builds a graph of the inputs and evaluates it in double precision. */
function evaluate(
  inputs: LossInputs,
  build: (g: GraphBuilder, input: (name: string) => Value) => Readonly<Record<string, Value>>,
): Map<string, Tensor> {
  const g = new GraphBuilder("test");
  const values = new Map(Object.entries(inputs).map(([name, { dtype, dims }]) => [name, g.parameter(name, tensorType(dtype, dims))]));
  for (const [name, value] of Object.entries(build(g, (name) => ensure(values.get(name), name)))) g.output(name, value);
  return interpret(g.finish(), new Map(Object.entries(inputs)));
}

const lossOf = ({ build }: LossCase, inputs: LossInputs): number =>
  ensure(ensure(evaluate(inputs, (g, input) => ({ loss: build(g, input) })).get("loss"), "loss").data[0], "loss");

/** Gradients of the graph by the name of the input. */
const gradientsOf = ({ build, differentiable }: LossCase, inputs: LossInputs): Map<string, Tensor> =>
  evaluate(inputs, (g, input) => {
    const values = differentiable.map(input);
    const grads = gradients(g, build(g, input), values);
    return Object.fromEntries(differentiable.map((name, i) => [name, ensure(grads[i], name)]));
  });

/** The inputs with one element changed. */
function changed(inputs: LossInputs, name: string, index: number, by: number): LossInputs {
  const { dtype, dims, data } = ensure(inputs[name], name);
  const copy = Float64Array.from(data);
  copy[index] = ensure(copy[index], "element") + by;
  return { ...inputs, [name]: tensor(dtype, dims, copy) };
}

for (const each of lossCases)
  describe(`the loss ${each.name}`, () => {
    it("the graph agrees with a restatement in doubles", () => {
      for (const seed of seeds) {
        const inputs = lossInputs(seed);
        const [actual, expected] = [lossOf(each, inputs), each.plain(inputs)];
        ok(Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), `seed ${seed}: ${actual} for ${expected}`);
      }
    });

    it("the gradients agree with finite differences of the restatement", () => {
      const step = 1e-5;
      for (const seed of seeds) {
        const inputs = lossInputs(seed);
        for (const [name, { data }] of gradientsOf(each, inputs))
          data.forEach((actual, i) => {
            const [above, below] = [step, -step].map((by) => each.plain(changed(inputs, name, i, by))) as [number, number];
            const expected = (above - below) / (2 * step);
            ok(
              Math.abs(actual - expected) <= 1e-6 * Math.max(1, Math.abs(expected)),
              `seed ${seed}, ${name}[${i}]: ${actual} for ${expected}`,
            );
          });
      }
    });

    for (const [mistake, loss] of Object.entries(each.mistakes))
      it(`the mistake "${mistake}" gives another loss`, () => {
        const distances = seeds.map((seed) => Math.abs(lossOf(each, lossInputs(seed)) - loss(lossInputs(seed))));
        ok(Math.max(...distances) > 1e-3, distances.join(", "));
      });
  });

describe("the limit of the ratio", () => {
  it("for completions of the policy itself, the gradient of RLOO is that of REINFORCE, neither half nor double", () => {
    const mask = tensor("f32", [2, 3], [1, 1, 0, 0, 1, 1]);
    const logps = tensor("f32", [2, 3], [-1, -2, 0, 0, -0.5, -3]);
    const out = evaluate({ logps, oldLogps: logps, mask, advantages: tensor("f32", [2], [0.5, -2]) }, (g, input) => {
      const policy = { logps: input("logps"), oldLogps: input("oldLogps"), mask: input("mask") };
      const { loss, metrics } = rlooLoss(g, policy, input("advantages"), { low: 0.2, high: 0.2 });
      const [grad] = gradients(g, loss, [policy.logps]);
      return { grad: ensure(grad, "gradient"), clipped: ensure(metrics.get("clip_fraction"), "clip_fraction") };
    });
    // Adding 0 turns −0 into 0.
    deepStrictEqual(
      [...ensure(out.get("grad"), "grad").data].map((x) => x + 0),
      [-0.25, -0.25, 0, 0, 1, 1],
    );
    deepStrictEqual([...ensure(out.get("clipped"), "clipped").data], [0]);
  });

  it("a ratio beyond its limit has no gradient if its advantage pushes further, and the full gradient otherwise", () => {
    const mask = tensor("f32", [4, 1], [1, 1, 1, 1]);
    const logps = tensor("f32", [4, 1], [Math.log(2), Math.log(2), Math.log(0.5), Math.log(0.5)]);
    const advantages = tensor("f32", [4], [1, -1, 1, -1]);
    const out = evaluate({ logps, oldLogps: tensor("f32", [4, 1], [0, 0, 0, 0]), mask, advantages }, (g, input) => {
      const policy = { logps: input("logps"), oldLogps: input("oldLogps"), mask: input("mask") };
      const { loss, metrics } = rlooLoss(g, policy, input("advantages"), { low: 0.2, high: 0.2 });
      const [grad] = gradients(g, loss, [policy.logps]);
      return { grad: ensure(grad, "gradient"), clipped: ensure(metrics.get("clip_fraction"), "clip_fraction") };
    });
    deepStrictEqual(
      [...ensure(out.get("grad"), "grad").data].map((x) => Math.round(x * 1e9) / 1e9),
      [0, 0.5, -0.125, 0],
    );
    deepStrictEqual([...ensure(out.get("clipped"), "clipped").data], [0.5]);
  });
});

describe("entropy and divergence", () => {
  it("they agree with sums over the vocabulary, and the divergence from itself is 0", () => {
    const [one, other] = [lossInputs(1), lossInputs(2)].map(({ logits }) => ensure(logits, "logits")) as [Tensor, Tensor];
    const out = evaluate({ one, other }, (g, input) => ({
      entropy: entropy(g, input("one"), 0.7),
      kl: fullKl(g, input("one"), input("other"), 0.7),
      none: fullKl(g, input("one"), input("one"), 0.7),
    }));
    const rows = ({ data, dims }: Tensor): number[][] =>
      Array.from({ length: data.length / ensure(dims[2], "V") }, (_, i) => [
        ...data.slice(i * ensure(dims[2], "V"), (i + 1) * ensure(dims[2], "V")),
      ]);
    rows(one).forEach((row, i) => {
      const expected = [entropyOf(row, 0.7), klOf(row, ensure(rows(other)[i], "row"), 0.7), 0];
      ["entropy", "kl", "none"].forEach((name, which) => {
        const actual = ensure(out.get(name)?.data[i], name);
        ok(Math.abs(actual - ensure(expected[which], name)) <= 1e-12, `${name}[${i}] is ${actual} for ${expected[which]}`);
      });
    });
  });
});
