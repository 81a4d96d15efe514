/**
 * The syntax tree of a StableHLO text. Every operation has the form of MLIR's generic syntax, whatever form the text uses:
 * a name, operands, attributes, regions, and types of operands and results.
 */

export type Type =
  | TensorTypeSyntax
  | { readonly kind: "function"; readonly inputs: readonly Type[]; readonly results: readonly Type[] }
  | { readonly kind: "tuple"; readonly items: readonly Type[] }
  /** A scalar type (`i32`), a type of a dialect (`!stablehlo.token`), or any other type, as the text writes it. */
  | { readonly kind: "other"; readonly text: string };

export interface TensorTypeSyntax {
  readonly kind: "tensor";
  /** null: a dim whose size is not known before the program runs. */
  readonly dims: readonly (number | null)[];
  /** `f32`, `ui32`, `complex<f32>`. */
  readonly element: string;
  readonly encoding?: string;
}

export type Attribute =
  /** A number exactly as the text writes it, so that printing loses no digit. */
  | { readonly kind: "number"; readonly text: string; readonly type?: Type }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "unit" }
  | { readonly kind: "array"; readonly items: readonly Attribute[] }
  | { readonly kind: "dictionary"; readonly entries: Attributes }
  | { readonly kind: "symbol"; readonly name: string }
  | { readonly kind: "type"; readonly type: Type }
  /** `dense<body> : type`. The body is checked when a value is read from it. */
  | { readonly kind: "dense"; readonly body: string; readonly type: Type }
  /** `array<i64: 1, 2>`. */
  | { readonly kind: "denseArray"; readonly element: string; readonly items: readonly string[] }
  /** `#stablehlo.gather<body>`; `#stablehlo<precision DEFAULT>` has the name `stablehlo.precision`. */
  | { readonly kind: "dialect"; readonly name: string; readonly body: string }
  | { readonly kind: "alias"; readonly name: string }
  | { readonly kind: "raw"; readonly text: string };

export type Attributes = ReadonlyMap<string, Attribute>;

/** Where a value comes from in the user's program. */
export type Location =
  | { readonly kind: "unknown" }
  | { readonly kind: "file"; readonly file: string; readonly line: number; readonly column: number; readonly end?: string }
  | { readonly kind: "name"; readonly name: string; readonly child?: Location }
  | { readonly kind: "callsite"; readonly callee: Location; readonly caller: Location }
  | { readonly kind: "fused"; readonly metadata?: Attribute; readonly locations: readonly Location[] }
  | { readonly kind: "alias"; readonly name: string };

/** A use of a result: `%3#1` is result 1 of `%3`. */
export interface ValueUse {
  readonly name: string;
  readonly index: number;
}

/** One name on the left of an operation, which stands for `count` results: `%3:2`. */
export interface ResultName {
  readonly name: string;
  readonly count: number;
}

export interface BlockArgument {
  readonly name: string;
  readonly type: Type;
  readonly location?: Location;
}

export interface Block {
  readonly label?: string;
  readonly arguments: readonly BlockArgument[];
  readonly operations: readonly Operation[];
}

export interface Region {
  readonly blocks: readonly Block[];
}

export interface Operation {
  readonly name: string;
  readonly results: readonly ResultName[];
  readonly operands: readonly ValueUse[];
  readonly successors: readonly string[];
  readonly attributes: Attributes;
  readonly regions: readonly Region[];
  readonly operandTypes: readonly Type[];
  readonly resultTypes: readonly Type[];
  readonly location?: Location;
  /** Position of the operation in the text, from 1. */
  readonly line: number;
  readonly column: number;
}

/** A whole text. */
export interface SourceModule {
  /** The file that the text was read from, for errors. */
  readonly file: string;
  /** `builtin.module`. */
  readonly operation: Operation;
  readonly attributeAliases: ReadonlyMap<string, Attribute>;
  readonly locationAliases: ReadonlyMap<string, Location>;
}
