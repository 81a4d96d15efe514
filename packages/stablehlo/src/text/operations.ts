import { LapidaryError } from "@lapidary/std";
import { parseDictionary, parseEntries } from "./attributes.js";
import type { Cursor } from "./cursor.js";
import { parseOptionalLocation } from "./locations.js";
import type { ShortOperation } from "./short-form.js";
import { shortFormOf } from "./short-forms.js";
import type { Attribute, Block, BlockArgument, Operation, Region, ResultName } from "./syntax.js";
import { parseFunctionType } from "./types.js";
import { parseArgument, parseUse } from "./values.js";

/** Reads one operation, in its generic form or in a short form. */
export function parseOperation(cursor: Cursor): Operation {
  return cursor.nested(() => {
    const results = cursor.token.kind === "value" ? parseResultNames(cursor) : [];
    const { token } = cursor;
    const { line, column } = token;
    if (token.kind !== "string" && token.kind !== "word") throw cursor.unexpected("an operation");
    cursor.take();
    const operation =
      token.kind === "string" ? { name: token.text, ...parseGeneric(cursor) } : parseShort(cursor, token.text, { line, column });
    const location = parseOptionalLocation(cursor);
    checkCounts(cursor, operation, results);
    return { ...operation, results, ...(location === undefined ? {} : { location }), line, column };

    function checkCounts(
      at: Cursor,
      { operands, operandTypes, resultTypes, name }: Pick<Operation, "name" | "operands" | "operandTypes" | "resultTypes">,
      names: readonly ResultName[],
    ): void {
      if (operands.length !== operandTypes.length)
        throw at.error(`${name} has ${operands.length} operands and ${operandTypes.length} types of operands`, token);
      const named = names.reduce((sum, { count }) => sum + count, 0);
      if (named !== 0 && named !== resultTypes.length)
        throw at.error(`${name} has ${resultTypes.length} results, and ${named} are named`, token);
    }
  });
}

/** `%a, %b:2 =`. */
function parseResultNames(cursor: Cursor): ResultName[] {
  const names: ResultName[] = [];
  do {
    const { text } = cursor.expectKind("value", "the name of a result");
    if (!cursor.accept(":")) {
      names.push({ name: text, count: 1 });
      continue;
    }
    const { token } = cursor;
    const count = Number(cursor.expectKind("integer", "a number of results").text);
    if (!(count >= 1 && count <= 100_000)) throw cursor.error("the number of results is out of range", token);
    names.push({ name: text, count });
  } while (cursor.accept(","));
  cursor.expect("=");
  return names;
}

/** `(%a, %b)[^bb] <{properties}> ({region}, …) {attributes} : (types) -> types`. */
function parseGeneric(cursor: Cursor): Omit<ShortOperation, "name"> {
  cursor.expect("(");
  const operands = cursor.list(")", () => parseUse(cursor));
  const successors = cursor.accept("[") ? cursor.list("]", () => cursor.expectKind("block", "a block such as ^bb1").text) : [];
  const attributes = new Map<string, Attribute>();
  if (cursor.accept("<")) {
    for (const [key, value] of parseDictionary(cursor)) attributes.set(key, value);
    cursor.expect(">");
  }
  const regions = cursor.accept("(") ? cursor.list(")", () => parseRegion(cursor)) : [];
  if (cursor.accept("{")) for (const [key, value] of parseEntries(cursor, "}")) attributes.set(key, value);
  cursor.expect(":");
  const { inputs, results } = parseFunctionType(cursor);
  return { operands, successors, attributes, regions, operandTypes: inputs, resultTypes: results };
}

function parseShort(cursor: Cursor, word: string, position: { line: number; column: number }): ShortOperation {
  const form = shortFormOf(word);
  if (form === undefined)
    throw new LapidaryError({
      code: "LAP_IMPORT_FORM",
      message: `${word} is written in a short form that the reader does not know`,
      location: `${cursor.file}:${position.line}:${position.column}`,
      remedy: "print the module in generic form: `lowered.compiler_ir().operation.get_asm(print_generic_op_form=True)`",
    });
  return form(cursor, { name: word, region: parseRegion });
}

/** A region: `{ operations }`, or blocks with labels. `entry` are the arguments that the operation declares outside of the region. */
function parseRegion(cursor: Cursor, entry?: readonly BlockArgument[]): Region {
  return cursor.nested(() => {
    cursor.expect("{");
    const blocks: Block[] = [];
    if (entry !== undefined || cursor.token.kind !== "block") {
      const operations = parseOperations(cursor);
      if (entry !== undefined || operations.length > 0) blocks.push({ arguments: entry ?? [], operations });
    }
    while (cursor.token.kind === "block") blocks.push(parseBlock(cursor));
    cursor.expect("}");
    return { blocks };
  });
}

/** `^bb0(%a: type, …): operations`. */
function parseBlock(cursor: Cursor): Block {
  const label = cursor.take().text;
  const args = cursor.accept("(") ? cursor.list(")", () => parseArgument(cursor)) : [];
  cursor.expect(":");
  return { label, arguments: args, operations: parseOperations(cursor) };
}

function parseOperations(cursor: Cursor): Operation[] {
  const operations: Operation[] = [];
  while (!cursor.is("}") && cursor.token.kind !== "block") operations.push(parseOperation(cursor));
  return operations;
}
