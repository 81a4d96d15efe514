import { deepStrictEqual, ok } from "node:assert/strict";
import { interpret, type Tensor, tensor } from "@lapidary/ir";
import { buildModel, modelConfigSchema, loraParams } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { klToReference, logProbs, rolloutLogProbs } from "./evaluations.js";
import { rlStep } from "./rl-step.js";
import { inSet, trainedStates } from "./trained-model.js";

const vocabSize = 11;
const model = buildModel(
  modelConfigSchema.parse({ vocabSize, modelDim: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, mlpDim: 12, contextLength: 12 }),
);
const [batch, seq] = [4, 6];
const shape = { batch, seq, segments: true };
const random = seededRandom(3);
const filled = (dims: readonly number[], next: () => number): number[] => Array.from({ length: dims.reduce((a, b) => a * b, 1) }, next);
const weights = (): ReadonlyMap<string, Tensor> =>
  new Map(
    model.params.map(({ name, dims }) => [
      name,
      tensor(
        "f32",
        dims,
        filled(dims, () => random.next() - 0.5),
      ),
    ]),
  );
const ids = (): Tensor =>
  tensor(
    "i32",
    [batch, seq],
    filled([batch, seq], () => random.integer(vocabSize)),
  );

const [policy, reference] = [weights(), weights()];
const named = (set: ReadonlyMap<string, Tensor>, prefix?: string): [string, Tensor][] =>
  [...set].map(([name, array]) => [`params/${prefix === undefined ? name : inSet(prefix, name)}`, array]);
const mask = tensor("f32", [batch, seq], [0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0]);
const segments = tensor("i32", [batch, seq], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
const [tokens, targets] = [ids(), ids()];
const rows = new Map([
  ["tokens", tokens],
  ["targets", targets],
  ["mask", mask],
  ["segments", segments],
]);
const dataOf = (out: ReadonlyMap<string, Tensor>, name: string): number[] => [...ensure(out.get(name), name).data];
const close = (actual: readonly number[], expected: readonly number[]): void =>
  actual.forEach((x, i) => ok(Math.abs(x - ensure(expected[i], "expected")) < 1e-9, `${actual.join()} is not ${expected.join()}`));

describe("log-probabilities of a rollout", () => {
  it("one program gives what the programs of policy, reference and KL give", () => {
    const temperature = 0.7;
    const out = interpret(
      rolloutLogProbs(model, shape, { temperature }),
      new Map([...named(policy), ...named(reference, "reference"), ...rows]),
    );
    const alone = (set: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
      interpret(logProbs(model, shape, { temperature }), new Map([...named(set), ...rows]));
    close(dataOf(out, "logps"), dataOf(alone(policy), "logps"));
    close(dataOf(out, "entropy"), dataOf(alone(policy), "entropy"));
    close(dataOf(out, "reference_logps"), dataOf(alone(reference), "logps"));
    const withoutTargets = new Map([...rows].filter(([name]) => name !== "targets"));
    const kl = interpret(
      klToReference(model, shape, temperature),
      new Map([...named(policy), ...named(reference, "reference"), ...withoutTargets]),
    );
    close(dataOf(out, "kl"), dataOf(kl, "kl"));
  });

  it("with an adapter, the reference is the policy without it: the KL is 0 before the first update, and not after a change of the adapter", () => {
    const lora = { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] } as const;
    const adapterOf = (b: number): [string, Tensor][] =>
      loraParams(model, lora).map(({ name, dims }) => {
        const data = filled(dims, () => (name.includes("lora_B") ? b : random.next()));
        return [`params/${name}`, tensor("f32", dims, data)];
      });
    const at = (b: number): ReadonlyMap<string, Tensor> =>
      interpret(rolloutLogProbs(model, shape, { temperature: 1, lora }), new Map([...named(policy), ...adapterOf(b), ...rows]));
    const before = at(0);
    ok(dataOf(before, "kl").every((kl) => kl === 0));
    deepStrictEqual(dataOf(before, "logps"), dataOf(before, "reference_logps"));
    const after = at(0.1);
    deepStrictEqual(dataOf(after, "reference_logps"), dataOf(before, "reference_logps"));
    ok(dataOf(after, "kl").some((kl) => kl > 1e-3));
  });
});

describe("REINFORCE", () => {
  const update = {
    steps: 2,
    optimizer: { name: "sgd" as const, lr: 0.1, weight_decay: 0 },
    schedule: { name: "constant" as const, warmup: 0 },
  };
  const scores = [1, -2, 3, 0.5];
  const old = filled([batch, seq], () => -random.next());
  const other = filled([batch, seq], () => -random.next());
  const advantagesOf = (algorithm: "reinforce" | "rloo"): number[] => {
    const clip = { low: 0.2, high: 0.2 };
    const rl = { algorithm, generations: 2, beta: 0.3, clip, temperature: 1 };
    const states = trainedStates(model, update).map(({ name, dims }): [string, Tensor] => [
      name,
      tensor(
        "f32",
        dims,
        filled(dims, () => 0),
      ),
    ]);
    const inputs = new Map([
      ...states,
      ...named(policy),
      ...rows,
      ["old_logps", tensor("f32", [batch, seq], old)] as const,
      ["reference_logps", tensor("f32", [batch, seq], other)] as const,
      ["scores", tensor("f32", [batch], scores)] as const,
    ]);
    return dataOf(interpret(rlStep(model, update, shape, { rl }), inputs), "advantages");
  };
  const returns = scores.map((score, row) => {
    let kl = 0;
    for (let i = row * seq; i < (row + 1) * seq; i++)
      kl += ensure(mask.data[i], "mask") * (ensure(old[i], "old") - ensure(other[i], "reference"));
    return score - 0.3 * kl;
  });

  it("the advantage of an answer is its score minus β times its KL to the reference", () => {
    close(advantagesOf("reinforce"), returns);
  });

  it("leave-one-out subtracts the mean of the other answers to the prompt", () => {
    close(
      advantagesOf("rloo"),
      returns.map((own, row) => own - ensure(returns[row % 2 === 0 ? row + 1 : row - 1], "other answer")),
    );
  });
});
