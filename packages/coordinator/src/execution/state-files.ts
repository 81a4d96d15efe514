import { safetensorsHead } from "@lapidary/interop";
import { sizeOf } from "@lapidary/ir";
import { type ModelConfig, paramsOf } from "@lapidary/models";
import { assert, must } from "@lapidary/std";
import { paramName } from "@lapidary/training";
import type { ImagePlace } from "@lapidary/worker/protocol";
import type { CheckpointParts } from "../checkpoints/checkpoint-store.js";
import { checkpointFiles } from "./checkpoints.js";
import type { RunPrograms } from "./run-programs.js";
import type { CheckpointFiles } from "./save-state.js";

/** A file's image begins where a block of a disk may: it can be written from where it lies. */
const blockBytes = 4096;

/** Checksums of arrays of the state, in the order of `StateFiles.places`, where they are known. */
export type KnownSums = readonly (number | undefined)[];

/** A stretch of a file: bytes that never change, or an array of the state. */
interface Stretch {
  readonly name: string;
  /** In the image. */
  readonly begin: number;
  readonly bytes: number;
  readonly content: { readonly constant: Uint8Array } | { readonly value: string };
}

/**
 * The files of a run's state, and how they lie in one stretch of memory, the image:
 *
 *     │ model.safetensors: length, header, weights by name …        │ optimizer.safetensors: length, header, moments …      │
 *     0                                                             a multiple of 4 KiB
 *
 * Damage is told by stretch: by the tensor.
 */
export class StateFiles {
  readonly bytes: number;
  readonly #files: ReadonlyMap<string, readonly Stretch[]>;

  constructor(programs: Pick<RunPrograms, "moments" | "dimsOf">, config: ModelConfig) {
    let at = 0;
    const file = (
      arrays: readonly { readonly name: string; readonly value: string }[],
      metadata: Readonly<Record<string, string>> = {},
    ): Stretch[] => {
      at = Math.ceil(at / blockBytes) * blockBytes;
      const stretch = (name: string, bytes: number, content: Stretch["content"]): Stretch => {
        at += bytes;
        return { name, begin: at - bytes, bytes, content };
      };
      const [length, header] = safetensorsHead(
        new Map(arrays.map(({ name, value }) => [name, { dtype: "f32", dims: programs.dimsOf(value) }])),
        metadata,
      );
      return [
        stretch("length of the header", length.length, { constant: length }),
        stretch("header", header.length, { constant: header }),
        ...arrays.map(({ name, value }) => stretch(name, 4 * sizeOf(programs.dimsOf(value)), { value })),
      ];
    };
    this.#files = new Map([
      [
        "model.safetensors",
        file(
          paramsOf(config).map(({ name }) => ({ name, value: paramName(name) })),
          { format: "pt" },
        ),
      ],
      [checkpointFiles.optimizer, file(programs.moments.map((name) => ({ name, value: name })))],
    ]);
    this.bytes = at;
  }

  /** Where the arrays of the state lie in the image. */
  get places(): ImagePlace[] {
    return [...this.#files.values()].flatMap((stretches) =>
      stretches.flatMap(({ begin, content }) => ("value" in content ? [{ value: content.value, begin }] : [])),
    );
  }

  /** The files over an image, in which everything is from then on but the arrays. @returns the files, once the arrays are there, with these checksums */
  in(image: Uint8Array): (sums: KnownSums) => CheckpointFiles {
    assert(image.length === this.bytes, "an image has the size of its files", image.length, this.bytes);
    const files = this.#with(({ begin, bytes, content }) => {
      const stretch = image.subarray(begin, begin + bytes);
      if ("constant" in content) stretch.set(content.constant);
      return stretch;
    });
    const { places } = this;
    const indices = new Map(places.map(({ begin }, i) => [image.byteOffset + begin, i]));
    return (sums) =>
      new Map(
        [...files].map(([file, parts]): [string, CheckpointParts] => [
          file,
          parts.map(([name, bytes]) => [name, bytes, sums[indices.get(bytes.byteOffset) ?? -1]]),
        ]),
      );
  }

  /** The files of arrays that were fetched. */
  of(arrays: ReadonlyMap<string, Uint8Array>): CheckpointFiles {
    return this.#with(({ name, bytes, content }) => {
      const stretch = "constant" in content ? content.constant : must(arrays.get(content.value), name);
      assert(stretch.length === bytes, "an array has the size that its file says", name, stretch.length, bytes);
      return stretch;
    });
  }

  #with(bytesOf: (stretch: Stretch) => Uint8Array): CheckpointFiles {
    return new Map(
      [...this.#files].map(([file, stretches]): [string, CheckpointParts] => [file, stretches.map((one) => [one.name, bytesOf(one)])]),
    );
  }
}
