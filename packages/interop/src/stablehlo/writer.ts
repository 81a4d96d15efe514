import { type Dtype, tensorType } from "@lapidary/ir";
import { type AtomId, atomOf, atomsSize, type Mesh, replicaGroups } from "@lapidary/topology";
import { literal, mlirType, quoted } from "./mlir.js";

export type Numerics = "f32" | "mxu";

export interface WriterOptions {
  /** How a matrix unit multiplies f32: `f32` exactly (the default), `mxu` in bf16; on a CPU XLA multiplies exactly in either case. */
  readonly numerics?: Numerics;
  /** An all_reduce over several axes is written as one for each: groups are smaller, and what is sent is more. */
  readonly axisWise?: boolean;
}

/**
 * Collects the operations of one block. What several of them need (scalars, the chip's position along axes, replica groups) is
 * written once, where it is first asked for.
 */
export class Writer {
  readonly #lines: string[] = [];
  readonly #shared = new Map<string, string>();
  readonly #groups = new Map<string, { readonly name: string; readonly text: string }>();
  #temporaries = 0;
  #channels = 0;
  #place = "";

  /**
   * @param perChip types are one chip's, and ops ask where the chip stands
   * @param indent of every line
   */
  constructor(
    readonly mesh: Mesh,
    readonly perChip: boolean,
    readonly options: WriterOptions,
    private readonly indent: string,
  ) {}

  /** What the operations that follow are part of: XLA shows it as their name. */
  at(place: string): void {
    this.#place = ` loc(${quoted(place)})`;
  }

  /** `name = text`, where text may open a region of several lines. */
  assign(name: string, text: string): void {
    this.line(`${name} = ${text}${this.#place}`);
  }

  /** An operation of its own name, `%t7`. */
  temporary(text: string): string {
    const name = `%t${this.#temporaries++}`;
    this.assign(name, text);
    return name;
  }

  /** One operation with several results, `%t7#0` and so on. */
  temporaries(count: number, text: string): string {
    const name = `%t${this.#temporaries++}`;
    this.assign(count === 1 ? name : `${name}:${count}`, text);
    return name;
  }

  line(text: string): void {
    this.raw(this.indent + text.replaceAll("\n", `\n${this.indent}`));
  }

  /** A line of another writer, indented already. */
  raw(line: string): void {
    this.#lines.push(line);
  }

  lines(): readonly string[] {
    return this.#lines;
  }

  scalar(value: number, dtype: Dtype): string {
    return this.#once(`${dtype} ${value}`, () => `stablehlo.constant dense<${literal(value, dtype)}> : ${mlirType(tensorType(dtype, []))}`);
  }

  /** Every collective has a channel of its own. */
  channel(): string {
    this.#channels++;
    return `#stablehlo.channel_handle<handle = ${this.#channels}, type = 1>`;
  }

  /** `replica_groups` of a collective over `atoms`: an alias, for the list may be long and is shared by many. */
  replicaGroups(atoms: readonly AtomId[]): string {
    const key = atoms.join(",");
    const known = this.#groups.get(key);
    if (known !== undefined) return known.name;
    const groups = replicaGroups(this.mesh, atoms);
    const name = `#groups${this.#groups.size}`;
    const text = `dense<[${groups.map((group) => `[${group.join(",")}]`).join(",")}]> : tensor<${groups.length}x${groups[0]?.length ?? 0}xi64>`;
    this.#groups.set(key, { name, text });
    return name;
  }

  /** Definitions that stand before the module. */
  aliases(): string[] {
    return [...this.#groups.values()].map(({ name, text }) => `${name} = ${text}`);
  }

  /**
   * This chip's number among the shards of a dim split by `atoms`, major to minor, times `step`: where its part begins, i32.
   *
   *     coordinate along an atom = partition id / stride mod size
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
      const above = index;
      index =
        above === undefined
          ? coordinate
          : this.#once(`index ${above} ${coordinate}`, () => {
              const scaled = this.temporary(`stablehlo.multiply ${above}, ${this.scalar(size, "i32")} : tensor<i32>`);
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
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    // The text may ask for shared values itself: they are written before this one.
    const rest = text();
    const name = this.temporary(rest);
    this.#shared.set(key, name);
    return name;
  }
}

/** Neighbouring atoms whose coordinates read as one number: the whole of an axis is one division and one remainder. */
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
