import { GraphBuilder, sizeOf, tensorType, type Value } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import type { Attributes, Operation, SourceModule, Type } from "../text/syntax.js";
import { Constraints } from "./constraints.js";
import { DeviceShardings } from "./gspmd.js";
import {
  bitsOf,
  dtypeOf,
  type Item,
  type ItemType,
  isFloatElement,
  isNarrow,
  isUnsigned,
  materializeKnown,
  typeOf,
  uniform,
} from "./item.js";
import { locationReader, type Source } from "./location.js";
import type { ManualRegion } from "./region.js";
import { decides, type MeshAxis, shardingOf, type TextSharding } from "./sharding.js";

export interface Limits {
  /** The most turns of one loop that are unrolled. */
  readonly turns: number;
  /** The most values of the graph. */
  readonly values: number;
}

/** Operations of the text for each value of the graph that the limit allows. Most operations on indices add no value. */
const operationsPerValue = 5;

/** An operation that the conversion does not support. */
export interface Refusal {
  readonly op: string;
  readonly reason: string;
  readonly line: number;
  /** The line of the user's program. */
  readonly source?: string;
}

/** The state of one conversion: the graph so far, and what could not be converted. */
export class Lowering {
  readonly b: GraphBuilder;
  readonly refusals: Refusal[] = [];
  readonly sourceOf: (operation: Operation) => Source;
  readonly constraints: Constraints;
  /** The axes of the mesh that the text names. */
  mesh: readonly MeshAxis[] = [];
  /** Shardings that number devices, in texts of JAX before 0.8. */
  devices = new DeviceShardings([]);
  /** Values whose sharding a text of JAX before 0.8 states before they enter a `shard_map` region. */
  readonly stated = new WeakMap<Item, TextSharding>();
  /** The region that values of such a text leave. */
  lastManual: ManualRegion | undefined;
  /** The `shard_map` region that is being converted. */
  manual: ManualRegion | undefined;
  #operations = 0;
  #inRegion = false;
  readonly #materialized = new Map<Item, Value>();

  constructor(
    readonly module: SourceModule,
    readonly functions: ReadonlyMap<string, Operation>,
    readonly limits: Limits,
    name: string,
  ) {
    this.b = new GraphBuilder(name);
    this.constraints = new Constraints(this.b);
    const read = locationReader(module);
    this.sourceOf = (operation) => read(operation.location);
  }

  /**
   * @param callLine the line of the call that is being inlined, for operations without a line of their own
   *
   * Notes that an operation cannot be converted, and returns results of its types, so that all refusals are found in one pass. */
  refuse(op: Operation, reason: string, callLine?: string): Item[] {
    const line = this.sourceOf(op).line ?? callLine;
    this.refusals.push({ op: op.name, reason, line: op.line, ...(line === undefined ? {} : { source: line }) });
    return op.resultTypes.map((type) => uniform(staticTypeOf(type) ?? { element: "f32", dims: [] }, 0));
  }

  /** Counts an operation of the text, once for every call and turn. Functions that call others twice multiply them without end. */
  countOperation(): void {
    if (++this.#operations > operationsPerValue * this.limits.values) throw this.#tooLarge();
  }

  /** The value of an item in the graph. */
  value(item: Item): Value {
    if (item.kind === "value") return item.value;
    const known = this.#materialized.get(item);
    if (known !== undefined) return known;
    const dtype = dtypeOf(item.element);
    if (dtype === undefined) throw new Unconvertible(`values of type ${item.element} are not supported`);
    const made =
      item.kind === "known"
        ? materializeKnown(this.b, item, item.known, dtype, item.make)
        : this.b.concatenate(
            item.segments.map((segment) => this.value(segment.item)),
            item.dimension,
          );
    if (made === undefined)
      throw new Unconvertible(`an array of ${sizeOf(item.dims)} different constants is not supported: pass it as an argument`);
    if (this.b.values.length > this.limits.values) throw this.#tooLarge();
    this.#materialized.set(item, made);
    return made;
  }

  /** Appends a region. Values that its body adds to the graph for items are not read after it. */
  repeat(count: number, initial: readonly Value[], body: (carried: readonly Value[]) => readonly Value[]): readonly Value[] {
    if (this.#inRegion) throw new Unconvertible(`it has more than ${this.limits.turns} turns, and so has a loop around it`);
    const before = new Map(this.#materialized);
    this.#inRegion = true;
    try {
      return this.b.repeat(count, initial, body);
    } finally {
      this.#inRegion = false;
      this.#materialized.clear();
      for (const [item, value] of before) this.#materialized.set(item, value);
    }
  }

  /** The sharding that attributes state for an array of a rank. */
  shardingOf(attributes: Attributes, rank: number): TextSharding | undefined {
    return shardingOf(attributes.get("sdy.sharding")) ?? this.devices.of(attributes, rank);
  }

  /** An item for a value of the graph. Its element type is that of the text. */
  item(element: string, value: Value): Item {
    if (this.b.values.length > this.limits.values) throw this.#tooLarge();
    return { element, dims: value.type.dims, kind: "value", value };
  }

  /** The item with a sharding that the text states. A value that no input changes needs none. */
  constrain(item: Item, sharding: TextSharding): Item {
    return item.kind === "known" ? item : this.item(item.element, this.constraints.constrain(this.value(item), sharding));
  }

  /** The value of a result of the step. @param isOwn whether no other result and no argument is this value, so that its sharding can be given */
  outputValue(item: Item, sharding: TextSharding | undefined, isOwn: boolean): Value {
    const value = this.value(item);
    if (sharding !== undefined && decides(sharding)) return this.constraints.constrain(value, sharding);
    return isOwn ? this.constraints.own(value) : value;
  }

  #tooLarge(): LapidaryError {
    return new LapidaryError({
      code: "LAP_IMPORT_SIZE",
      message: `the step has more than ${this.limits.values} values after its calls are inlined and its loops are unrolled`,
      location: this.module.file,
      remedy: "shorten its loops, or raise import.values",
    });
  }
}

/** The reason why an operation cannot be converted. The conversion reports it with the position of the operation. */
export class Unconvertible extends Error {}

/** The static type of a value of the text; undefined for types that are not arrays, and for arrays of unknown size. */
export function staticTypeOf(type: Type | undefined): ItemType | undefined {
  if (type?.kind !== "tensor") return undefined;
  const dims = type.dims.filter((d) => d !== null);
  return dims.length === type.dims.length ? { element: type.element, dims } : undefined;
}

/** Operations whose result can need more bits than their operands have. */
const arithmetic =
  /\.(?:abs|add|subtract|multiply|divide|negate|not|power|shift_left|convert|reduce|reduce_window|dot_general|scatter|convolution)$/;

/** One operation during its conversion. */
export class OpContext {
  constructor(
    readonly low: Lowering,
    readonly op: Operation,
    readonly args: readonly Item[],
  ) {}

  get b(): GraphBuilder {
    return this.low.b;
  }

  arg(i: number): Item {
    const item = this.args[i];
    if (item === undefined) throw new Unconvertible(`operand ${i} is missing`);
    return item;
  }

  value(i: number): Value {
    return this.low.value(this.arg(i));
  }

  /** The type of a result. */
  result(i = 0): ItemType {
    const type = staticTypeOf(this.op.resultTypes[i]);
    if (type === undefined) throw new Unconvertible("the sizes of its result are not known before the program runs");
    return type;
  }

  /** A value of a narrow integer type after arithmetic: its lowest bits, with its sign. */
  #fitted(element: string, value: Value): Value {
    if (!isNarrow(element) || !arithmetic.test(this.op.name)) return value;
    const like = (n: number): Value => this.b.splat(n, tensorType("i32", value.type.dims));
    const bits = bitsOf(element);
    if (isUnsigned(element)) return this.b.op("bitwise_and", [value, like(2 ** bits - 1)], {});
    const high = this.b.op("shift_left", [value, like(32 - bits)], {});
    return this.b.op("shift_right_arithmetic", [high, like(32 - bits)], {});
  }

  /** Results from values of the graph, with the element types of the text. Checks the dims that the text states. */
  results(...values: readonly (Value | Item)[]): Item[] {
    return values.map((value, i) => {
      const type = this.result(i);
      const item = "kind" in value ? value : this.low.item(type.element, this.#fitted(type.element, value));
      if (item.dims.join() !== type.dims.join())
        throw new Unconvertible(
          `the text states the dims [${type.dims.join(", ")}] for its result, and its operands give [${item.dims.join(", ")}]`,
        );
      if (item.element !== type.element && !(isFloatElement(item.element) === isFloatElement(type.element) && item.kind === "value"))
        throw new Unconvertible(`the text states the element type ${type.element} for its result, and its operands give ${item.element}`);
      return item.element === type.element ? item : { ...item, ...typeOf(type) };
    });
  }
}

export type Converter = (c: OpContext) => readonly Item[];
