import { createHash } from "node:crypto";
import {
  type Graph,
  type Sharding,
  type TensorType,
  type ValueRole,
  globalDims,
  parametersOf,
  printGraph,
  textForDigest,
} from "@lapidary/ir";
import { must } from "@lapidary/std";

/** A parameter or output of a program: type of the whole array, and how it lies over the mesh. JSON. */
export interface ProgramPort {
  readonly name: string;
  readonly type: TensorType;
  readonly sharding: Sharding;
  /** Of a parameter. */
  readonly role?: ValueRole;
}

/** A program as it rests on disk, crosses threads and goes to workers: the text of its per-chip graph, and what goes in and out of it. JSON. */
export interface ProgramText {
  /** Digest of `textForDigest`: what identifies the program. */
  readonly hash: string;
  readonly text: string;
  readonly parameters: readonly ProgramPort[];
  readonly outputs: readonly ProgramPort[];
}

/** SHA-256 of a text. */
export const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** @param chip a per-chip program with a sharding on every value */
export function programText(chip: Graph): ProgramText {
  const mesh = must(chip.mesh, "mesh");
  const port = (name: string, value: { readonly type: TensorType; readonly sharding?: Sharding | undefined }): ProgramPort => {
    const sharding = must(value.sharding, `sharding of ${name}`);
    return { name, type: { dtype: value.type.dtype, dims: globalDims(mesh, value.type.dims, sharding) }, sharding };
  };
  return {
    text: printGraph(chip),
    hash: digestOf(textForDigest(chip)),
    parameters: parametersOf(chip).map((value) => ({
      ...port(value.attrs.name, value),
      ...(value.role === undefined ? {} : { role: value.role }),
    })),
    outputs: chip.outputs.map(({ name, value }) => port(name, must(chip.values[value], name))),
  };
}
