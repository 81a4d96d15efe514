import { join } from "node:path";
import type { VerifiedCheckpoint } from "@lapidary/checkpoint";
import { SafetensorsFile } from "@lapidary/interop";
import { arrayOf } from "@lapidary/protocol";
import { LapidaryError } from "@lapidary/std";
import type { WeightsFile } from "../execution/checkpoint-form.js";
import { checkpointFiles } from "../execution/checkpoints.js";
import type { RunPrograms } from "../execution/run-programs.js";
import type { StepProgramSet } from "./step-programs.js";

/** The files of a state: leaves of the user's program under their names there. */
export function stepStateFiles({ imported, states }: Pick<StepProgramSet, "imported" | "states">): readonly WeightsFile[] {
  const roles = new Map(states.map(({ name, role }) => [name, role]));
  const leaves = imported.arguments.flatMap(({ name, leaf }) => {
    const role = roles.get(name);
    return role === undefined ? [] : [{ name: leaf, state: name, role }];
  });
  const file = (name: string, isParam: boolean): WeightsFile => ({
    name,
    tensors: leaves.filter(({ role }) => (role === "param") === isParam).map(({ name: leaf, state }) => ({ name: leaf, state })),
  });
  return [file("model.safetensors", true), file(checkpointFiles.optimizer, false)].filter(({ tensors }) => tensors.length > 0);
}

/** Loads the state of a checkpoint into a run. @throws LAP_CHECKPOINT_STATE if it lacks a leaf */
export async function loadStepState(
  programs: Pick<RunPrograms, "putState" | "state">,
  files: readonly WeightsFile[],
  { path }: VerifiedCheckpoint,
): Promise<void> {
  for (const { name, tensors } of files) {
    const file = await SafetensorsFile.open(join(path, name));
    try {
      for (const { name: leaf, state } of tensors) {
        if (!file.names.includes(leaf))
          throw new LapidaryError({
            code: "LAP_CHECKPOINT_STATE",
            message: `the state lacks ${leaf}`,
            location: `${file.path}: tensor "${leaf}"`,
            remedy: "resume the run with the step that it started with",
          });
        const { data } = await file.read(leaf);
        const { dtype, dims } = programs.state(state);
        await programs.putState(state, arrayOf(dtype, dims, data));
      }
    } finally {
      await file.close();
    }
  }
}
