import { parsedJson } from "@lapidary/std";
import { z } from "zod";
import { damaged } from "./damaged.js";

const registration = z.object({
  id: z.string().regex(/^[0-9a-f-]{36}$/),
  /** The pipeline file, for a person who reads it. */
  file: z.string(),
  /** The objects that the pipeline needs. */
  keys: z.array(z.string()).readonly(),
});

/** A line of the file. Earlier versions wrote one line, without the number of lines. */
const line = registration.extend({ lines: z.number().int().positive().default(1) });

/** What a pipeline needs of a store. Several pipelines can share a store, so an object is garbage only if none of them needs it. */
export type Registration = Readonly<z.infer<typeof registration>>;

/** `ID.json` in the directory `pipelines` of a store: JSON lines, each with the id, the file and some of the keys. */
export const registrationFile = (id: string): string => `pipelines/${id}.json`;

/** About 1 MB of text. All keys of a large pipeline are more than one text can have. */
const keysOfLine = 16_384;

export function* registrationLines({ id, file, keys }: Registration): Generator<string> {
  const lines = Math.max(1, Math.ceil(keys.length / keysOfLine));
  for (let i = 0; i < lines; i++) yield `${JSON.stringify({ id, file, lines, keys: keys.slice(i * keysOfLine, (i + 1) * keysOfLine) })}\n`;
}

/** @throws LapidaryError LAP_DATA_STORE: what the pipeline needs is unknown then, so nothing may be removed */
export function parseRegistration(bytes: Uint8Array, location: string): Registration {
  const keys: string[] = [];
  let [first, lines]: [z.infer<typeof line> | undefined, number] = [undefined, 0];
  for (let start = 0, end = bytes.indexOf(0x0a); end >= 0; start = end + 1, end = bytes.indexOf(0x0a, start)) {
    const read = line.safeParse(parsedJson(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8")));
    if (!read.success || read.data.id !== (first ?? read.data).id) throw otherForm(location);
    first ??= read.data;
    for (const key of read.data.keys) keys.push(key);
    lines++;
  }
  if (first === undefined || lines !== first.lines) throw otherForm(location);
  return { id: first.id, file: first.file, keys };
}

const otherForm = (location: string): Error => damaged(location, "the list of what a pipeline needs has another form");
