import { deepStrictEqual } from "node:assert/strict";
import { completionEnds, promptRows, sequenceRows, takeCompletions, trimmedCompletions } from "./rollout-rows.js";

const stop = 9;
const completions = Int32Array.of(5, 6, stop, 0, 5, 6, 7, 8);
const drawn = { completions, logps: new Float32Array(8) };
const prompts = [{ ids: [2, 3] }, { ids: [2, 3, 4] }];

describe("rows of a rollout", () => {
  const ends = completionEnds(completions, 4, [1, stop]);

  it("a completion ends with its stop token, and a completion without one is cut off", () => {
    deepStrictEqual(
      [[...ends.lengths], [...ends.isCutOff]],
      [
        [3, 4],
        [0, 1],
      ],
    );
    deepStrictEqual(
      trimmedCompletions(drawn, 4, ends).map((completion) => [...completion]),
      [
        [5, 6, stop],
        [5, 6, 7, 8],
      ],
    );
  });

  it("prompts are padded on the left", () => {
    const { tokens, first } = promptRows(prompts, 3);
    deepStrictEqual([...tokens], [0, 2, 3, 2, 3, 4]);
    deepStrictEqual([...first], [1, 0]);
  });

  it("each token of a completion, and no other, is a target of the position before it", () => {
    const rows = sequenceRows(prompts, 3, trimmedCompletions(drawn, 4, ends), 4);
    deepStrictEqual([...rows.tokens], [0, 2, 3, 5, 6, stop, 0, 2, 3, 4, 5, 6, 7, 8]);
    deepStrictEqual([...rows.segments], [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]);
    const trained = [0, 1].map((row) =>
      [...rows.targets.subarray(row * 7, row * 7 + 7)].filter((_, position) => rows.mask[row * 7 + position] === 1),
    );
    deepStrictEqual(trained, [
      [5, 6, stop],
      [5, 6, 7, 8],
    ]);
    const shape = { batch: 2, generations: 1, prompt: 3, newTokens: 4 };
    deepStrictEqual([...takeCompletions(rows.mask, shape)], [1, 1, 1, 0, 1, 1, 1, 1]);
    deepStrictEqual([...takeCompletions(rows.targets, shape)], [...completions]);
  });
});
