import { type Program, stateBytesPerChip } from "@lapidary/compiler";
import { type Graph, parametersOf, type Sharding, type TensorType } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { type Mesh, printAtoms } from "@lapidary/topology";
import { outputSharding } from "../stablehlo/module.js";

/**
 * `manifest.json` of an export: order and shardings of the arguments and results of both modules, and the sources of initial values.
 * `run.py` reads it; its format has a version.
 */
export interface XlaManifest {
  readonly format: "lapidary-xla";
  readonly version: 1;
  readonly name: string;
  /** The version of JAX that the runner supports. */
  readonly jax: string;
  /** File names of the global module (`whole`) and the per-device module (`chip`). */
  readonly texts: { readonly whole: string; readonly chip: string };
  readonly mesh: { readonly axes: readonly { readonly name: string; readonly size: number }[]; readonly dcn_axes: readonly string[] };
  readonly numerics: "f32" | "mxu";
  readonly arguments: readonly ManifestArray[];
  readonly results: readonly ManifestArray[];
  /** Number of steps of the job. */
  readonly steps: number;
  readonly data: ManifestData;
  /** config.json of the model. */
  readonly model: Readonly<Record<string, unknown>>;
  /** Files to copy into checkpoints, such as those of the tokenizer. */
  readonly extra_files: readonly string[];
  /** Bytes of the states on one chip, and the peak of a step, by Lapidary's plan. */
  readonly bytes_per_chip: { readonly params: number; readonly optimizer: number; readonly peak: number };
}

interface ManifestArray {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dtype: string;
  /** Mesh axes or sub-axes (`model:(1)4`) of each dim, major to minor. */
  readonly sharding: readonly (readonly string[])[];
  readonly role: "state" | "batch" | "metric";
  /** The initial value of a state. */
  readonly initial?: InitialState;
  /** Of a state that is a stack: the states that a checkpoint has for its slices, in order. */
  readonly parts?: readonly string[];
}

/** The initial value of a state: zeros, ones, numbers of Lapidary's generator (`normalAt(key, i) · scale`, with `keys` for each slice of a stack), or an array in a file of the export. */
export type InitialState =
  | { readonly kind: "zeros" | "ones" }
  | { readonly kind: "normal"; readonly key: number; readonly scale: number; readonly keys?: readonly number[] }
  | { readonly kind: "file"; readonly file: string; readonly tensor: string };

/** The source of batches: rows of a token file in Lapidary's order, arrays of complete batches, or none. */
export type ManifestData =
  | {
      readonly kind: "tokens";
      readonly file: string;
      readonly tokens: number;
      readonly bytes_per_token: 2 | 4;
      readonly seed: number;
      readonly batch: number;
      readonly seq: number;
      /** A token that is never a target; -1 if there is none. */
      readonly bos: number;
    }
  | { readonly kind: "batches"; readonly file: string; readonly steps: number }
  | { readonly kind: "none" };

/** The fields of a manifest that the caller provides. */
export interface ManifestFields {
  readonly name: string;
  readonly jax: string;
  readonly numerics: "f32" | "mxu";
  /** Mesh axes that run between pods. */
  readonly dcnAxes: readonly string[];
  readonly steps: number;
  readonly data: ManifestData;
  readonly model: Readonly<Record<string, unknown>>;
  readonly extraFiles: readonly string[];
  /** The initial value of every state, by name. */
  readonly initial: ReadonlyMap<string, InitialState>;
  /** By state that is a stack: the states that a checkpoint has for its slices. */
  readonly parts?: ReadonlyMap<string, readonly string[]>;
}

export const textFiles = { whole: "whole.mlir", chip: "chip.mlir" } as const;

export function makeManifest(
  { mesh, global, chip, memory }: Pick<Program, "mesh" | "global" | "chip" | "memory">,
  fields: ManifestFields,
): XlaManifest {
  const states = new Set(global.outputs.map(({ name }) => name));
  const args = parametersOf(chip).map(({ attrs: { name }, sharding, role }): ManifestArray => {
    const isState = states.has(name);
    assert(isState || role === "batch", "an argument is a state or a batch", name, role);
    const array = manifestArray(mesh, name, globalParameterType(global, name), ensure(sharding, name), isState ? "state" : "batch");
    if (!isState) return array;
    const parts = fields.parts?.get(name);
    return { ...array, initial: ensure(fields.initial.get(name), `initial value of ${name}`), ...(parts === undefined ? {} : { parts }) };
  });
  const stateNames = new Set(parametersOf(chip).map(({ attrs }) => attrs.name));
  const results = chip.outputs.map(({ name, value }, i): ManifestArray => {
    const { type } = ensure(global.values[ensure(global.outputs[i], name).value], name);
    return manifestArray(mesh, name, type, outputSharding(chip, name, value), stateNames.has(name) ? "state" : "metric");
  });
  const { params, optimizer } = stateBytesPerChip(chip);
  return {
    format: "lapidary-xla",
    version: 1,
    name: fields.name,
    jax: fields.jax,
    texts: textFiles,
    mesh: { axes: mesh.axes, dcn_axes: fields.dcnAxes },
    numerics: fields.numerics,
    arguments: args,
    results,
    steps: fields.steps,
    data: fields.data,
    model: fields.model,
    extra_files: fields.extraFiles,
    bytes_per_chip: { params, optimizer, peak: memory.peakBytes },
  };
}

const manifestArray = (
  mesh: Mesh,
  name: string,
  { dims, dtype }: TensorType,
  sharding: Sharding,
  role: ManifestArray["role"],
): ManifestArray => ({
  name,
  dims,
  dtype,
  sharding: sharding.dims.map((atoms) => printAtoms(mesh, atoms)),
  role,
});

const globalParameterType = (global: Graph, name: string): TensorType =>
  ensure(
    parametersOf(global).find(({ attrs }) => attrs.name === name),
    name,
  ).type;
