/** The reward model of sort5: pairs of answers of the fine-tuned model, labelled by the checker. 10 % of the labels are flipped. */
import { rewardStep, score, scoreParams, trainedStates } from "@lapidary/post-training";
import { handleOf, stepIndex } from "@lapidary/protocol";
import { hash32, normalAt, seededRandom } from "@lapidary/std";
import { completionEnds, LoadedProgram, Rollout, sequenceRows, trimmedCompletions } from "@lapidary/trainer";
import { paramName } from "@lapidary/training";
import { ascending, question } from "./data.mjs";
import { answerTokens, ended, model, promptOf, promptTokens, stopTokens, textOf, updateOf } from "./task.mjs";

/** @typedef {import("@lapidary/trainer").Session} Session */
/** @typedef {import("./task.mjs").Weights} Weights */
/** @typedef {{ prompt: ReturnType<typeof promptOf>, chosen: readonly number[], rejected: readonly number[], isFlipped: boolean }} Pair answers as `ended` ends them */

/** Tokens of an answer with its line break. */
const width = answerTokens + 1;
const seq = promptTokens + width;
const rowsOfRollout = 512;

/** Pairs of which one answer is right. The policy is the fine-tuned model. @param {Session} session @param {{ seed: number, count: number }} options @returns {Promise<Pair[]>} */
export async function drawPairs(session, { seed, count }) {
  const shape = { batch: rowsOfRollout, generations: 2, prompt: promptTokens, newTokens: answerTokens };
  const rollout = await Rollout.load(session, { model, shape, draw: { temperature: 1, stopTokens } });
  const random = seededRandom(hash32(seed, 77));
  /** @type {Pair[]} */
  const pairs = [];
  for (let round = 0; pairs.length < count; round++) {
    const prompts = Array.from({ length: rowsOfRollout / 2 }, (_, i) => promptOf(question(seed + 1, (round * rowsOfRollout) / 2 + i)));
    const drawn = await rollout.draw({ prompts, seed: seed + 2, rollout: round, step: stepIndex(0) });
    const ends = completionEnds(drawn.completions, answerTokens, stopTokens);
    const answers = trimmedCompletions(drawn, answerTokens, ends).map((answer) => [...answer]);
    prompts.forEach((prompt, i) => {
      const [first = [], second = []] = answers.slice(2 * i, 2 * i + 2);
      const [a, b] = [first, second].map((answer) => textOf(answer) === ascending(prompt.text));
      if (a === b) return;
      const isFlipped = random.next() < 0.1;
      const [chosen, rejected] = a !== isFlipped ? [first, second] : [second, first];
      pairs.push({ prompt, chosen: ended(chosen), rejected: ended(rejected), isFlipped });
    });
  }
  return pairs.slice(0, count);
}

/**
 * Trains the model on pairs.
 *
 * @param {Session} session
 * @param {Weights} start weights of the fine-tuned model
 * @param {readonly Pair[]} pairs
 * @param {{ seed: number, steps: number }} options
 * @returns {Promise<Map<string, import("@lapidary/protocol").ArrayData>>}
 */
export async function trainRewardModel(session, start, pairs, { seed, steps }) {
  const update = updateOf(steps, 5e-4);
  const states = trainedStates({ params: scoreParams(model) }, update);
  const names = states.map(({ name }) => name);
  const kept = new Map(names.map((name) => [name, handleOf(name)]));
  const batch = ["tokens", "segments", "last", "margin"];
  const graph = rewardStep(model, update, { batch: 64, seq, segments: true });
  const program = await LoadedProgram.load(session, "reward", graph, {
    outputs: kept,
    donate: [...names, ...batch],
    scalars: ["loss", "accuracy"],
  });
  for (const { name, dims, role, weight = "" } of states) {
    const size = dims.reduce((a, b) => a * b, 1);
    const head = Float32Array.from({ length: size }, (_, i) => normalAt(hash32(seed, 5), i) / 8);
    const fresh = { dtype: /** @type {const} */ ("f32"), dims, data: role === "param" ? head : new Float32Array(size) };
    await program.put(name, (role === "param" ? start.get(weight) : undefined) ?? fresh);
  }
  const random = seededRandom(hash32(seed, 6));
  for (let step = 0; step < steps; step++) {
    const some = Array.from({ length: 32 }, () => /** @type {Pair} */ (pairs[random.integer(pairs.length)]));
    const answers = [...some.map(({ chosen }) => chosen), ...some.map(({ rejected }) => rejected)];
    await Promise.all([
      ...putAnswers(
        program,
        [...some, ...some].map(({ prompt }) => prompt),
        answers,
      ),
      program.put("margin", { dtype: "f32", dims: [32], data: new Float32Array(32) }),
      program.run(stepIndex(step), true),
    ]);
  }
  const params = names.filter((name) => name.startsWith("params/"));
  const arrays = await Promise.all(params.map((name) => session.group.fetch(handleOf(name))));
  return new Map(arrays.map((array, i) => [(params[i] ?? "").slice("params/".length), array]));
}

/** Scores of answers by a reward model, which becomes the set `reward`. @param {Session} session @param {number} rows @param {Weights} weights */
export async function openScores(session, rows, weights) {
  const output = handleOf("score/scores");
  const inputs = new Map(scoreParams(model).map(({ name }) => [paramName(name), handleOf(`reward/${paramName(name)}`)]));
  const program = await LoadedProgram.load(session, `score ${rows}`, score(model, { batch: rows, seq, segments: true }), {
    inputs,
    outputs: new Map([["scores", output]]),
    donate: ["tokens", "segments", "last"],
  });
  for (const [name, array] of weights) await program.put(paramName(name), array);
  return {
    /** @param {readonly { ids: ArrayLike<number> }[]} prompts @param {readonly (readonly number[])[]} answers */
    async of(prompts, answers) {
      await Promise.all([...putAnswers(program, prompts, answers), program.run(stepIndex(0))]);
      const { data } = await session.group.fetch(output);
      await session.group.drop([output]);
      return [...data];
    },
  };
}

/** @param {LoadedProgram} program @param {readonly { ids: ArrayLike<number> }[]} prompts @param {readonly (readonly number[])[]} answers */
function putAnswers(program, prompts, answers) {
  const { tokens, segments } = sequenceRows(prompts, promptTokens, answers, width);
  const dims = [prompts.length, seq];
  const last = Int32Array.from(answers, ({ length }) => promptTokens + length - 1);
  return [
    program.put("tokens", { dtype: "i32", dims, data: tokens }),
    program.put("segments", { dtype: "i32", dims, data: segments }),
    program.put("last", { dtype: "i32", dims: [prompts.length], data: last }),
  ];
}
