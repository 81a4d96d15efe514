import { type Dtype, tensorType } from "@lapidary/ir";
import { type AtomId, atomOf, atomsSize, type Mesh, replicaGroups } from "@lapidary/topology";
import { literal, mlirType, quoted } from "./mlir.js";

type Numerics = "f32" | "mxu";

export interface WriterOptions {
  /** Precision of f32 matmuls on a matrix unit: `f32` exact (the default), `mxu` in bf16. On a CPU, XLA multiplies exactly in both cases. */
  readonly numerics?: Numerics;
  /** Splits an all_reduce over several axes into one for each axis: the groups are smaller, and more bytes are sent. */
  readonly splitAllReduce?: boolean;
}

/**
 * Collects the operations of one block. Shared values (scalars, the position of the chip along axes, replica groups) are
 * written once, before their first use.
 */
export class Writer {
  readonly #lines: string[] = [];
  #shared = new Map<string, string>();
  readonly #groups = new Map<string, { readonly name: string; readonly text: string }>();
  #temporaries = 0;
  #channels = 0;
  #location = "";

  /**
   * @param perChip whether types are those of one chip, and ops use the position of the chip
   * @param indent the indent of every line
   */
  constructor(
    readonly mesh: Mesh,
    readonly perChip: boolean,
    readonly options: WriterOptions,
    private indent: string,
  ) {}

  /** Writes the operations of `body` indented by two more blanks. Operations after the block do not read the values that it shares. */
  block(body: () => void): void {
    const [shared, indent] = [this.#shared, this.indent];
    this.#shared = new Map(shared);
    this.indent += "  ";
    body();
    this.#shared = shared;
    this.indent = indent;
  }

  /** Sets the location of the following operations: XLA shows it as their name. */
  setLocation(location: string): void {
    this.#location = ` loc(${quoted(location)})`;
  }

  /** Writes `name = text`; the text may contain a region of several lines. */
  assign(name: string, text: string): void {
    this.line(`${name} = ${text}${this.#location}`);
  }

  /** Writes an operation with a new name, `%t7`. */
  temporary(text: string): string {
    const name = `%t${this.#temporaries++}`;
    this.assign(name, text);
    return name;
  }

  /** Writes an operation with several results, `%t7#0` and so on. */
  temporaries(count: number, text: string): string {
    const name = `%t${this.#temporaries++}`;
    this.assign(count === 1 ? name : `${name}:${count}`, text);
    return name;
  }

  line(text: string): void {
    this.raw(this.indent + text.replaceAll("\n", `\n${this.indent}`));
  }

  /** Writes a line of another writer, which is already indented. */
  raw(line: string): void {
    this.#lines.push(line);
  }

  lines(): readonly string[] {
    return this.#lines;
  }

  scalar(value: number, dtype: Dtype): string {
    return this.#once(`${dtype} ${value}`, () => `stablehlo.constant dense<${literal(value, dtype)}> : ${mlirType(tensorType(dtype, []))}`);
  }

  /** A new channel; every collective has its own. */
  channel(): string {
    this.#channels++;
    return `#stablehlo.channel_handle<handle = ${this.#channels}, type = 1>`;
  }

  /** The `replica_groups` of a collective over `atoms`: an alias, because the list may be long and many collectives share it. */
  replicaGroups(atoms: readonly AtomId[]): string {
    const key = atoms.join(",");
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing.name;
    const groups = replicaGroups(this.mesh, atoms);
    const name = `#groups${this.#groups.size}`;
    const text = `dense<[${groups.map((group) => `[${group.join(",")}]`).join(",")}]> : tensor<${groups.length}x${groups[0]?.length ?? 0}xi64>`;
    this.#groups.set(key, { name, text });
    return name;
  }

  /** The `source_target_pairs` of a collective_permute: an alias, as for replica groups. No pair is the empty list. */
  pairs(pairs: readonly string[]): string {
    const key = pairs.join(",");
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing.name;
    const name = `#pairs${this.#groups.size}`;
    this.#groups.set(key, { name, text: `dense<[${key}]> : tensor<${pairs.length}x2xi64>` });
    return name;
  }

  /** The definitions that precede the module. */
  aliases(): string[] {
    return [...this.#groups.values()].map(({ name, text }) => `${name} = ${text}`);
  }

  /**
   * The offset of this chip's shard, i32: its index among the shards of a dim split by the sub-axes `atoms`, major to minor, times `step`.
   *
   *     coordinate along a sub-axis = partition id / stride mod size
   */
  shardOffset(atoms: readonly AtomId[], step: number): string {
    const index = this.#shardIndex(atoms);
    if (step === 1) return index;
    return this.#once(`offset ${atoms.join(",")} ${step}`, () => `stablehlo.multiply ${index}, ${this.scalar(step, "i32")} : tensor<i32>`);
  }

  #shardIndex(atoms: readonly AtomId[]): string {
    if (atoms.length === 0) return this.scalar(0, "i32");
    const runs = strideRuns(this.mesh, atoms);
    let index: string | undefined;
    for (const { size, stride } of runs) {
      const coordinate = this.#coordinate(stride, size);
      const major = index;
      index =
        major === undefined
          ? coordinate
          : this.#once(`index ${major} ${coordinate}`, () => {
              const scaled = this.temporary(`stablehlo.multiply ${major}, ${this.scalar(size, "i32")} : tensor<i32>`);
              return `stablehlo.add ${scaled}, ${coordinate} : tensor<i32>`;
            });
    }
    return index ?? this.scalar(0, "i32");
  }

  #coordinate(stride: number, size: number): string {
    const id = this.#once("partition id", () => "stablehlo.partition_id : tensor<ui32>");
    const chip = this.#once("chip", () => `stablehlo.convert ${id} : (tensor<ui32>) -> tensor<i32>`);
    const major =
      stride === 1 ? chip : this.#once(`chip / ${stride}`, () => `stablehlo.divide ${chip}, ${this.scalar(stride, "i32")} : tensor<i32>`);
    const isMajormost =
      stride * size ===
      atomsSize(
        this.mesh,
        this.mesh.atoms.map(({ id: atom }) => atom),
      );
    return isMajormost
      ? major
      : this.#once(`chip / ${stride} mod ${size}`, () => `stablehlo.remainder ${major}, ${this.scalar(size, "i32")} : tensor<i32>`);
  }

  #once(key: string, text: () => string): string {
    const existing = this.#shared.get(key);
    if (existing !== undefined) return existing;
    // `text` may write shared values itself: they precede this one.
    const rest = text();
    const name = this.temporary(rest);
    this.#shared.set(key, name);
    return name;
  }
}

/** Merges adjacent sub-axes whose coordinates form one number: a whole axis needs one division and one remainder. */
function strideRuns(mesh: Mesh, atoms: readonly AtomId[]): { size: number; stride: number }[] {
  const runs: { size: number; stride: number }[] = [];
  for (const id of atoms) {
    const { size, stride } = atomOf(mesh, id);
    const last = runs.at(-1);
    if (last !== undefined && last.stride === stride * size) runs[runs.length - 1] = { size: last.size * size, stride };
    else runs.push({ size, stride });
  }
  return runs;
}
