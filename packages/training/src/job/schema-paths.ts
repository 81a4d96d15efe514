import { z } from "zod";
import type { Path } from "./config-source.js";

/** Queries of a schema by path, for overrides and for suggestions. */

/** The schemas that a value at `path` may have; none if no such key exists. */
function schemasAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType[] {
  let current = unwrap(schema);
  for (const key of path) current = current.flatMap((option) => step(option, String(key))).flatMap(unwrap);
  return current;
}

/** Keys that a mapping at `path` may have. */
export function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  return [...new Set(schemasAt(schema, path).flatMap((option) => (option instanceof z.ZodObject ? Object.keys(option.shape) : [])))];
}

/** All paths to leaves, dotted: `train.optimizer.lr`. */
export function dottedPaths(schema: z.core.$ZodType, prefix = ""): string[] {
  return [
    ...new Set(
      unwrap(schema).flatMap((option) =>
        option instanceof z.ZodObject
          ? Object.entries(option.shape).flatMap(([key, inner]) =>
              dottedPaths(inner as z.core.$ZodType, prefix === "" ? key : `${prefix}.${key}`),
            )
          : [prefix],
      ),
    ),
  ];
}

/** How to read the value of an override: as plain text if the schema accepts only text, as YAML otherwise. `either` if it accepts text or a mapping. */
export function readsAs(schema: z.core.$ZodType, path: Path): "text" | "yaml" | "either" {
  const options = schemasAt(schema, path);
  const rest = options.filter((option) => !(option instanceof z.ZodString || option instanceof z.ZodEnum));
  if (rest.length === options.length) return "yaml";
  return rest.length === 0
    ? "text"
    : rest.every((option) => option instanceof z.ZodObject || option instanceof z.ZodRecord)
      ? "either"
      : "yaml";
}

export const takesNull = (schema: z.core.$ZodType, path: Path): boolean =>
  schemasAt(schema, path).some((option) => option instanceof z.ZodNull);

/** The alternatives inside defaults, optionals and unions. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType[] {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  )
    return unwrap(schema.def.innerType);
  if (schema instanceof z.ZodUnion || schema instanceof z.ZodDiscriminatedUnion) return schema.def.options.flatMap(unwrap);
  return [schema];
}

function step(schema: z.core.$ZodType, key: string): z.core.$ZodType[] {
  if (schema instanceof z.ZodObject) return Object.hasOwn(schema.shape, key) ? [schema.shape[key] as z.core.$ZodType] : [];
  if (schema instanceof z.ZodRecord) return [schema.def.valueType];
  if (schema instanceof z.ZodArray) return [schema.def.element];
  return [];
}
