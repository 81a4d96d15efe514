import type { WorkerGroup } from "@lapidary/cluster";
import type { ModelConfig } from "@lapidary/models";
import { handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { paramName } from "@lapidary/training";
import type { ProgramSet } from "../programs/build.js";
import { LoadedProgram } from "../rl/program-host.js";
import { readRewardModel } from "../rl/reward-model.js";

const scoresHandle = handleOf("scores");

export interface GroupScoresOptions {
  readonly group: WorkerGroup;
  /** The program `score` of the recipe compare. */
  readonly programs: ProgramSet["programs"];
  readonly config: ModelConfig;
  /** Of the program. */
  readonly shape: { readonly rows: number; readonly seq: number };
  /** Directory of the checkpoint of a reward model. */
  readonly directory: string;
}

/**
 * A reward model on the workers of a run. The result scores at most `rows` sequences together.
 *
 * @throws LAP_CHECKPOINT_…, LAP_INIT_MISMATCH
 */
export async function openGroupScores(
  options: GroupScoresOptions,
): Promise<(rows: readonly (readonly number[])[]) => Promise<readonly number[]>> {
  const { group, programs, config, shape, directory } = options;
  const host = { group, load: () => group.loadText(ensure(programs["score"], "program score")) };
  const program = await LoadedProgram.load(
    host,
    "score",
    () => {
      throw new Error("the program is compiled");
    },
    { outputs: new Map([["scores", scoresHandle]]), donate: ["tokens", "last"] },
  );
  for (const [name, array] of await readRewardModel(directory, config)) await program.put(paramName(name), array);
  return async (rows) => {
    const { rows: batch, seq } = shape;
    assert(rows.length <= batch && rows.every(({ length }) => length > 0 && length <= seq), "the rows fit the program", rows.length, batch);
    const [tokens, last] = [new Int32Array(batch * seq), new Int32Array(batch)];
    rows.forEach((ids, row) => {
      tokens.set(ids, row * seq);
      last[row] = ids.length - 1;
    });
    const puts = [
      program.put("tokens", { dtype: "i32", dims: [batch, seq], data: tokens }),
      program.put("last", { dtype: "i32", dims: [batch], data: last }),
    ];
    const fetched = program.run(stepIndex(0)).then(() => group.fetch(scoresHandle));
    await Promise.all([...puts, fetched]);
    const { data } = await fetched;
    await group.drop([scoresHandle]);
    return Array.from(data.subarray(0, rows.length));
  };
}
