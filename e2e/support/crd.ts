import { isDeepStrictEqual } from "node:util";

/** The part of OpenAPI's schemas that custom resource definitions of Kubernetes use. */
export interface CrdSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, CrdSchema>>;
  readonly additionalProperties?: boolean | CrdSchema;
  readonly required?: readonly string[];
  readonly items?: CrdSchema;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly anyOf?: readonly CrdSchema[];
  readonly minimum?: number;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
}

/**
 * The errors that an API server with strict field validation reports for an object. A field that the schema lacks is also an error.
 *
 * @param at path of the value, for messages
 */
export function schemaErrors(schema: CrdSchema, value: unknown, at = ""): string[] {
  const fail = (message: string): string[] => [`${at === "" ? "." : at}: ${message}`];
  if (schema["x-kubernetes-int-or-string"] === true) {
    if (!Number.isInteger(value) && typeof value !== "string") return fail("neither integer nor string");
  } else if (schema.type !== undefined && !hasType(schema.type, value)) return fail(`no ${schema.type}: ${JSON.stringify(value)}`);
  if (schema.enum?.some((allowed) => isDeepStrictEqual(allowed, value)) === false) return fail(`none of ${JSON.stringify(schema.enum)}`);
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(String(value))) return fail(`does not match ${schema.pattern}`);
  if (schema.minimum !== undefined && Number(value) < schema.minimum) return fail(`below ${schema.minimum}`);
  if (Array.isArray(value)) return value.flatMap((item, i) => schemaErrors(schema.items ?? {}, item, `${at}[${i}]`));
  if (typeof value !== "object" || value === null) return [];
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name)).flatMap((name) => fail(`lacks ${name}`));
  return [...missing, ...Object.entries(value).flatMap(([name, inner]) => fieldErrors(schema, name, inner, `${at}.${name}`))];
}

function fieldErrors(schema: CrdSchema, name: string, value: unknown, at: string): string[] {
  const known = schema.properties?.[name] ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
  if (known !== undefined) return schemaErrors(known, value, at);
  const free = schema["x-kubernetes-preserve-unknown-fields"] === true || schema.additionalProperties === true;
  // The API server defines the fields of `metadata` itself.
  return free || schema.properties === undefined ? [] : [`${at}: the schema has no such field`];
}

function hasType(type: string, value: unknown): boolean {
  switch (type) {
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
