import type { Attribute, Operation } from "../text/syntax.js";

/** Whole numbers of an attribute in any of the forms that versions of StableHLO print: `array<i64: 1>`, `dense<[1]> : …`, `[1]`. */
function integersOf(attribute: Attribute | undefined): number[] | undefined {
  switch (attribute?.kind) {
    case "denseArray":
      return attribute.items.map((item) => (item === "true" ? 1 : item === "false" ? 0 : Number(item)));
    case "array":
      return attribute.items.map((item) => (item.kind === "number" ? Number(item.text) : Number.NaN));
    case "dense": {
      const count = attribute.type.kind === "tensor" ? attribute.type.dims.reduce<number>((n, d) => n * (d ?? 0), 1) : 0;
      const items = attribute.body
        .replace(/[[\]\s]/g, "")
        .split(",")
        .filter((item) => item !== "")
        .map(parseNumber);
      return items.length === 1 && count > 1 && count <= 1024 ? Array<number>(count).fill(items[0] ?? 0) : items;
    }
    default:
      return undefined;
  }
}

const parseNumber = (item: string): number => (item === "true" ? 1 : item === "false" ? 0 : Number(item));

export const integers = (op: Operation, name: string): number[] | undefined => integersOf(op.attributes.get(name));

export function integer(op: Operation, name: string): number | undefined {
  const attribute = op.attributes.get(name);
  return attribute?.kind === "number" ? Number(attribute.text) : undefined;
}

export function stringOf(attribute: Attribute | undefined): string | undefined {
  return attribute?.kind === "string" ? attribute.value : attribute?.kind === "symbol" ? attribute.name : undefined;
}

/** The body of an attribute of a dialect: `#stablehlo<comparison_direction LT>` → `LT`. */
export const bodyOf = (attribute: Attribute | undefined): string => (attribute?.kind === "dialect" ? attribute.body : "");

/** The lists in `key = [1, 2], other = 3` of a dialect attribute. A key that the text omits has an empty list. */
export function dimensionLists(body: string): { list: (key: string) => number[]; number: (key: string) => number | undefined } {
  const entries = new Map([...body.matchAll(/(\w+)\s*=\s*(\[[^\]]*\]|-?\d+)/g)].map(([, key = "", value = ""]) => [key, value]));
  return {
    list: (key) =>
      (entries.get(key) ?? "")
        .replace(/[[\]\s]/g, "")
        .split(",")
        .filter((item) => item !== "")
        .map(Number),
    number: (key) => (entries.has(key) ? Number(entries.get(key)) : undefined),
  };
}
