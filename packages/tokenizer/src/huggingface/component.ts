import { z } from "zod";
import { unsupportedTokenizer } from "../tokenizer-errors.js";
import { firstIssue } from "../tokenizer-json.js";

/** The location of a part of a `tokenizer.json`, for errors: the file and the keys of the part. */
export interface Location {
  readonly file: string;
  readonly path: string;
}

export const inside = ({ file, path }: Location, key: string): Location => ({ file, path: path === "" ? key : `${path}.${key}` });

export const place = ({ file, path }: Location): string => (path === "" ? file : `${file}: ${path}`);

/** Builds a normalizer, pre-tokenizer, decoder or post-processor of one type from its JSON. */
export type Builder<T> = (json: unknown, at: Location) => T;

/**
 * Builds a part of a tokenizer by its `type`. An unknown key is an error, because it may change the ids.
 *
 * @param kind names the part in errors: "normalizer"
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`
 */
export function build<T>(kind: string, builders: Readonly<Record<string, Builder<T>>>, json: unknown, at: Location): T {
  const type = z.looseObject({ type: z.string() }).safeParse(json);
  if (!type.success) throw unsupportedTokenizer(place(at), `the ${kind} has no type`);
  const name = type.data.type;
  const builder = Object.hasOwn(builders, name) ? builders[name] : undefined;
  if (builder === undefined)
    throw unsupportedTokenizer(
      place(at),
      `a ${kind} of type ${JSON.stringify(name)} is not supported; supported are ${Object.keys(builders).sort().join(", ")}`,
    );
  return builder(json, at);
}

/** The keys of one part, checked. */
export function keysOf<T>(schema: z.ZodType<T>, json: unknown, at: Location): T {
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw unsupportedTokenizer(place(at), firstIssue(parsed.error));
  return parsed.data;
}
