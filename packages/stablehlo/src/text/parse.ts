import { LapidaryError } from "@lapidary/std";
import { parseAttribute } from "./attributes.js";
import { Cursor } from "./cursor.js";
import { parseLocation } from "./locations.js";
import { parseOperation } from "./operations.js";
import type { Attribute, Location, Operation, SourceModule } from "./syntax.js";

/** Larger texts are refused. Gemma 7B with locations has 0.5 MB. */
const maxTextBytes = 64 * 2 ** 20;

/** Reads the text of a module, as StableHLO and JAX print it, in generic or in short form, with locations or without. */
export function parseModule(text: string, file: string): SourceModule {
  if (text.startsWith("ML\u00efR") || text.startsWith("ML\ufffdR"))
    throw new LapidaryError({
      code: "LAP_IMPORT_BYTECODE",
      message: "the file is MLIR bytecode",
      location: file,
      remedy: "write text: `jax.jit(step).lower(…).as_text(debug_info=True)`, or `exported.mlir_module()` of a module of jax.export",
    });
  if (text.length > maxTextBytes)
    throw new LapidaryError({
      code: "LAP_IMPORT_SIZE",
      message: `the text has ${text.length} characters, and at most ${maxTextBytes} are read`,
      location: file,
      remedy: "pass large constants as arguments of the step",
    });
  const cursor = new Cursor(text, file);
  const operations: Operation[] = [];
  const attributeAliases = new Map<string, Attribute>();
  const locationAliases = new Map<string, Location>();
  while (cursor.token.kind !== "end") {
    if (cursor.token.kind !== "hash") {
      operations.push(parseOperation(cursor));
      continue;
    }
    const name = cursor.take().text;
    cursor.expect("=");
    if (!cursor.acceptWord("loc")) {
      attributeAliases.set(name, parseAttribute(cursor));
      continue;
    }
    cursor.expect("(");
    locationAliases.set(name, parseLocation(cursor));
    cursor.expect(")");
  }
  return { file, operation: onlyModule(cursor, operations), attributeAliases, locationAliases };
}

/** The module of the text. MLIR omits `module { … }` around operations if the module has no attributes. */
function onlyModule(cursor: Cursor, operations: readonly Operation[]): Operation {
  const [first] = operations;
  if (operations.length === 1 && first?.name === "builtin.module") return first;
  if (first === undefined) throw cursor.error("the text has no operation");
  return {
    name: "builtin.module",
    results: [],
    operands: [],
    successors: [],
    attributes: new Map(),
    regions: [{ blocks: [{ arguments: [], operations }] }],
    operandTypes: [],
    resultTypes: [],
    line: first.line,
    column: first.column,
  };
}
