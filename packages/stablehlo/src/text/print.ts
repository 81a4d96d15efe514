import type { Attribute, Attributes, Block, Location, Operation, Region, SourceModule, Type, ValueUse } from "./syntax.js";

/** Writes a module in generic form. `parseModule` reads it as an equal module, apart from positions. */
export function printModule({ operation, attributeAliases, locationAliases }: SourceModule): string {
  const lines = [
    ...[...attributeAliases].map(([name, attribute]) => `#${name} = ${printAttribute(attribute)}`),
    ...[...locationAliases].map(([name, location]) => `#${name} = loc(${printLocation(location)})`),
  ];
  printOperation(operation, "", lines);
  return `${lines.join("\n")}\n`;
}

function printType(type: Type): string {
  switch (type.kind) {
    case "tensor": {
      const dims = type.dims.map((d) => `${d ?? "?"}x`).join("");
      return `tensor<${dims}${type.element}${type.encoding === undefined ? "" : `, ${type.encoding}`}>`;
    }
    case "function":
      return `${printTypes(type.inputs)} -> ${printResultTypes(type.results)}`;
    case "tuple":
      return `tuple<${type.items.map(printType).join(", ")}>`;
    case "other":
      return type.text;
  }
}

const printTypes = (types: readonly Type[]): string => `(${types.map(printType).join(", ")})`;

function printResultTypes(types: readonly Type[]): string {
  const [only] = types;
  return types.length === 1 && only !== undefined && only.kind !== "function" ? printType(only) : printTypes(types);
}

/** A string with the escapes that MLIR writes. */
function quoted(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text, "utf8"))
    out +=
      byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c
        ? `\\${byte.toString(16).toUpperCase().padStart(2, "0")}`
        : String.fromCharCode(byte);
  return `"${out}"`;
}

const isWord = (text: string): boolean => /^[A-Za-z_][\w$.]*$/.test(text);
const symbol = (name: string): string =>
  name
    .split("::@")
    .map((part) => `@${/^[\w$.-]+$/.test(part) ? part : quoted(part)}`)
    .join("::");

function printAttribute(attribute: Attribute): string {
  switch (attribute.kind) {
    case "number":
      return attribute.type === undefined ? attribute.text : `${attribute.text} : ${printType(attribute.type)}`;
    case "string":
      return quoted(attribute.value);
    case "bool":
      return String(attribute.value);
    case "unit":
      return "unit";
    case "array":
      return `[${attribute.items.map(printAttribute).join(", ")}]`;
    case "dictionary":
      return printAttributes(attribute.entries);
    case "symbol":
      return symbol(attribute.name);
    case "type":
      return printType(attribute.type);
    case "dense":
      return `dense<${attribute.body}> : ${printType(attribute.type)}`;
    case "denseArray":
      return attribute.items.length === 0 ? `array<${attribute.element}>` : `array<${attribute.element}: ${attribute.items.join(", ")}>`;
    case "dialect":
      return `#${attribute.name}<${attribute.body}>`;
    case "alias":
      return `#${attribute.name}`;
    case "raw":
      return attribute.text;
  }
}

const printAttributes = (attributes: Attributes): string =>
  `{${[...attributes].map(([key, value]) => `${isWord(key) ? key : quoted(key)}${value.kind === "unit" ? "" : ` = ${printAttribute(value)}`}`).join(", ")}}`;

function printLocation(location: Location): string {
  switch (location.kind) {
    case "unknown":
      return "unknown";
    case "alias":
      return `#${location.name}`;
    case "file":
      return `${quoted(location.file)}:${location.line}:${location.column}${location.end === undefined ? "" : ` to ${location.end}`}`;
    case "name":
      return location.child === undefined ? quoted(location.name) : `${quoted(location.name)}(${printLocation(location.child)})`;
    case "callsite":
      return `callsite(${printLocation(location.callee)} at ${printLocation(location.caller)})`;
    case "fused": {
      const metadata = location.metadata === undefined ? "" : `<${printAttribute(location.metadata)}>`;
      return `fused${metadata}[${location.locations.map(printLocation).join(", ")}]`;
    }
  }
}

const optionalLocation = (location: Location | undefined): string => (location === undefined ? "" : ` loc(${printLocation(location)})`);
const printUse = ({ name, index }: ValueUse): string => `%${name}${index === 0 ? "" : `#${index}`}`;

function printOperation(operation: Operation, indent: string, lines: string[]): void {
  const names = operation.results.map(({ name, count }) => `%${name}${count === 1 ? "" : `:${count}`}`).join(", ");
  const successors = operation.successors.length === 0 ? "" : `[${operation.successors.map((block) => `^${block}`).join(", ")}]`;
  const head = `${indent}${names === "" ? "" : `${names} = `}${quoted(operation.name)}(${operation.operands.map(printUse).join(", ")})${successors}`;
  const attributes = operation.attributes.size === 0 ? "" : ` <${printAttributes(operation.attributes)}>`;
  const types = ` : ${printTypes(operation.operandTypes)} -> ${printResultTypes(operation.resultTypes)}${optionalLocation(operation.location)}`;
  if (operation.regions.length === 0) {
    lines.push(head + attributes + types);
    return;
  }
  lines.push(`${head}${attributes} ({`);
  operation.regions.forEach((region, i) => {
    if (i > 0) lines.push(`${indent}}, {`);
    printRegion(region, indent, lines);
  });
  lines.push(`${indent}})${types}`);
}

function printRegion(region: Region, indent: string, lines: string[]): void {
  region.blocks.forEach((block, i) => {
    if (i > 0 || block.label !== undefined || block.arguments.length > 0 || block.operations.length === 0)
      lines.push(`${indent}${printBlockHead(block, i)}`);
    for (const operation of block.operations) printOperation(operation, `${indent}  `, lines);
  });
}

function printBlockHead({ label, arguments: args }: Block, index: number): string {
  const list = args.map(({ name, type, location }) => `%${name}: ${printType(type)}${optionalLocation(location)}`).join(", ");
  return `^${label ?? `bb${index}`}${list === "" ? "" : `(${list})`}:`;
}
