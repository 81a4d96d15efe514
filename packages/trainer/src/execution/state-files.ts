import { safetensorsHead } from "@lapidary/interop";
import { storedTensors } from "@lapidary/models";
import {
  type CheckpointFileSpec,
  type CheckpointLayout,
  type CheckpointPart,
  type Handle,
  type StagedTensor,
  checkpointLayout,
} from "@lapidary/protocol";
import type { Dtype } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { CheckpointParts } from "@lapidary/checkpoint";
import { type CheckpointForm, type FileTensor, type WeightsFile, weightsFiles } from "./checkpoint-form.js";
import { checkpointFiles } from "./checkpoints.js";
import type { RunPrograms } from "./run-programs.js";
import type { CheckpointFiles } from "./checkpoint-contents.js";

/** Checksums of arrays of the state, in the order of `StateFiles.tensors`, where they are known. */
export type KnownSums = readonly (number | undefined)[];

type States = Pick<RunPrograms, "state">;

/** The type of an array in a file. bf16 are stored as f32, and pred as i32. */
const storedAs = (dtype: Dtype): "f32" | "i32" => (dtype === "f32" || dtype === "bf16" ? "f32" : "i32");

/** The safetensors files of a state: those of the trained weights, and that of the optimizer. */
export const stateFilesOf = (form: CheckpointForm, { moments }: Pick<RunPrograms, "moments">): readonly WeightsFile[] => [
  ...weightsFiles(form).map((file) => ({ ...file, metadata: { format: "pt" } })),
  { name: checkpointFiles.optimizer, tensors: moments },
];

/** A safetensors file of arrays of the state, by their name in the file. */
function safetensorsFile(
  name: string,
  states: States,
  arrays: readonly FileTensor[],
  metadata: Readonly<Record<string, string>> = {},
): CheckpointFileSpec {
  const tensors = arrays.map((array) => [array.name, states.state(array.state)] as const);
  // The slices of a stack are one after the other in its array, so that only the header lists them.
  const listed = arrays.flatMap((array) => {
    const { dtype, dims } = states.state(array.state);
    return storedTensors({ ...array, dims }).map((stored) => [stored.name, { dtype: storedAs(dtype), dims: stored.dims }] as const);
  });
  const [length, header] = safetensorsHead(new Map(listed), metadata);
  return {
    name,
    head: [
      ["length of the header", length],
      ["header", header],
    ],
    tensors,
  };
}

/** The files of a run's state. An error about a damaged file names the part: the tensor. */
export class StateFiles {
  readonly #layout: CheckpointLayout;

  constructor(states: States, files: readonly WeightsFile[]) {
    this.#layout = checkpointLayout(files.map(({ name, tensors, metadata }) => safetensorsFile(name, states, tensors, metadata)));
  }

  /** Size of the staging buffer. */
  get bytes(): number {
    return this.#layout.bytes;
  }

  /** The offsets of the arrays in the staging buffer. */
  get tensors(): readonly StagedTensor[] {
    return this.#layout.tensors;
  }

  /**
   * Writes everything except the arrays into a staging buffer.
   *
   * @returns the files over the staging buffer, with the given checksums, once the arrays are written
   */
  in(staging: Uint8Array): (sums: KnownSums) => CheckpointFiles {
    assert(staging.length === this.bytes, "a staging buffer has the size of its files", staging.length, this.bytes);
    for (const { begin, content } of [...this.#layout.files.values()].flat())
      if ("constant" in content) staging.set(content.constant, begin);
    const indices = new Map(this.tensors.map(({ tensor }, i) => [tensor.id, i]));
    return (sums) =>
      this.#files(({ begin, bytes, content }) => [
        staging.subarray(begin, begin + bytes),
        "tensor" in content ? sums[ensure(indices.get(content.tensor.id), "index")] : undefined,
      ]);
  }

  /** The files of arrays that were fetched. */
  of(arrays: ReadonlyMap<Handle, Uint8Array>): CheckpointFiles {
    return this.#files(({ name, bytes, content }) => {
      const part = "constant" in content ? content.constant : ensure(arrays.get(content.tensor.id), name);
      assert(part.length === bytes, "an array has the size of its part of the file", name, part.length, bytes);
      return [part];
    });
  }

  #files(bytesOf: (part: CheckpointPart) => readonly [bytes: Uint8Array, crc32?: number | undefined]): CheckpointFiles {
    return new Map(
      [...this.#layout.files].map(([file, parts]): [string, CheckpointParts] => [file, parts.map((part) => [part.name, ...bytesOf(part)])]),
    );
  }
}
