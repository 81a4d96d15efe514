import { type CompareDirection, type OpName, type ReductionKind, ops } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/**
 * The opcodes of the fused kernel (`LapidaryFused`). The numbers follow from the op table: the build writes them into the C++
 * header `cpp/kernels/opcodes.generated.h`, and the compiled library exports its list of opcodes.
 */
export type OpcodeName = OpName | CompareDirection | `row_${ReductionKind}` | `acc_${ReductionKind}` | "copy" | "rearrange";

const comparisons: Readonly<Record<CompareDirection, true>> = { EQ: true, NE: true, LT: true, LE: true, GT: true, GE: true };
const reductions: Readonly<Record<ReductionKind, true>> = { sum: true, max: true, min: true };

const named = (fusible: "unary" | "binary"): readonly OpName[] =>
  (Object.keys(ops) as readonly OpName[]).filter((name) => ops[name].fusible === fusible);
const directions = Object.keys(comparisons) as readonly CompareDirection[];
const kinds = Object.keys(reductions) as readonly ReductionKind[];

/** Opcodes by number of operands and kind: elementwise ops have formulas in `cpp/kernels/elementwise.h`. */
const groups = {
  unary: named("unary"),
  binary: [...named("binary"), ...directions],
  other: ["select", "copy", ...kinds.map((kind) => `row_${kind}` as const), ...kinds.map((kind) => `acc_${kind}` as const), "rearrange"],
} as const satisfies Readonly<Record<string, readonly OpcodeName[]>>;

const names: readonly OpcodeName[] = [...groups.unary, ...groups.binary, ...groups.other];
const numbers: ReadonlyMap<OpcodeName, number> = new Map(names.map((name, number) => [name, number]));

/** The opcodes in the order of their numbers, as one text. */
export const opcodeList = names.join(" ");

export const opcodeOf = (name: OpcodeName): number => ensure(numbers.get(name), `opcode of ${name}`);

/** `kRowSum` of `row_sum`. */
const enumerator = (name: OpcodeName): string =>
  `k${name
    .toLowerCase()
    .split("_")
    .map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
    .join("")}`;

/** The C++ header that the native library is compiled with. */
export function opcodeHeader(): string {
  const macro = (name: string, list: readonly OpcodeName[]): string =>
    [`#define ${name}(USE)`, ...list.map((opcode) => `  USE(${enumerator(opcode)})`)].join(" \\\n");
  return `// The build writes this file from the op table (packages/ir/src/ops). Change the table, not this file.
#pragma once

#include <cstdint>

enum Code : int32_t {
${names.map((name, number) => `  ${enumerator(name)} = ${number},\n`).join("")}  kCodes = ${names.length},
};

${macro("LAPIDARY_UNARY_OPCODES", groups.unary)}

${macro("LAPIDARY_BINARY_OPCODES", groups.binary)}

#define LAPIDARY_OPCODE_LIST "${opcodeList}"
`;
}
