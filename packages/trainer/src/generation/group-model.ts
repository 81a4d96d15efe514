import type { WorkerGroup } from "@lapidary/cluster";
import { buildModel, type ModelConfig } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { paramName } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import type { ProgramSet } from "../programs/build.js";
import type { TokenHost } from "../rl/program-host.js";
import { GenerationBatch } from "./generation-batch.js";
import { TokenModel, type TokenShape } from "./token-model.js";

export interface GroupModelOptions {
  readonly group: WorkerGroup;
  /** The programs of the recipe compare, for the shape. */
  readonly programs: ProgramSet["programs"];
  readonly config: ModelConfig;
  readonly shape: TokenShape;
  /** Directory of the checkpoint. */
  readonly directory: string;
}

/**
 * A checkpoint on the workers of a run. The caller returns the workers.
 *
 * @throws LAP_CHECKPOINT_…, LAP_INIT_MISMATCH
 */
export async function openGroupModel({ group, programs, config, shape, directory }: GroupModelOptions): Promise<TokenModel> {
  const host: TokenHost = {
    group,
    load: (name) => {
      const program = name.split(" ")[0] ?? name;
      return group.loadText(ensure(programs[program], `program ${program}`));
    },
  };
  const model = buildModel(config);
  const { rows, prompt, seq } = shape;
  const batch = new GenerationBatch(host, model, seq, { rows, prompt, positions: seq });
  const weights = new Map((await batch.weights(prompt, rows)).map((tensor) => [String(tensor.id), tensor]));
  await loadWeights(directory, config, (name, array) => group.put(ensure(weights.get(paramName(name)), `weight ${name}`), array));
  return new TokenModel({ config, model, host, batch, shape, close: async () => undefined });
}
