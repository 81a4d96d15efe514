import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type OpName, elementwiseNames, ops } from "@lapidary/ir";
import { opcodeHeader, opcodeList, opcodeOf } from "./opcodes.js";

const enumerators = [...opcodeHeader().matchAll(/^ {2}k(\w+) = (\d+),$/gm)];

describe("the opcodes of fused kernels", () => {
  it("opcodes have the same numbers in the header and in the worker", () => {
    const names = opcodeList.split(" ");
    deepStrictEqual(
      enumerators.map(([, name, number]) => [name?.toLowerCase(), Number(number)]),
      [...names.map((name, number) => [name.replaceAll("_", "").toLowerCase(), number]), ["codes", names.length]],
    );
    for (const [number, name] of names.entries()) strictEqual(opcodeOf(name as OpName), number);
  });

  it("every op with a formula, and no other, has an opcode in the list of its number of operands", () => {
    const listed = (macro: string): string[] => {
      const [, body = ""] = new RegExp(`#define ${macro}\\(USE\\) \\\\\\n((?:.*\\\\\\n)*.*)`).exec(opcodeHeader()) ?? [];
      return [...body.matchAll(/USE\(k(\w+)\)/g)].map(([, name = ""]) => name.toLowerCase());
    };
    const [unary, binary] = [listed("LAPIDARY_UNARY_OPCODES"), listed("LAPIDARY_BINARY_OPCODES")];
    for (const name of Object.keys(ops) as OpName[]) {
      const { fusible, arity } = ops[name];
      const own = name.replaceAll("_", "");
      deepStrictEqual([unary.includes(own), binary.includes(own)], [fusible === "unary", fusible === "binary"], name);
      if (fusible === "unary" || fusible === "binary") ok(elementwiseNames.has(name) && arity === (fusible === "unary" ? 1 : 2), name);
    }
  });
});
