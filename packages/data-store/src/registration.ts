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

/** What a pipeline needs of a store. Several pipelines can share a store, so an object is garbage only if none of them needs it. */
export type Registration = Readonly<z.infer<typeof registration>>;

/** `ID.json` in the directory `pipelines` of a store. */
export const registrationFile = (id: string): string => `pipelines/${id}.json`;

export const registrationBytes = (of: Registration): Buffer => Buffer.from(`${JSON.stringify(of)}\n`);

/** @throws LapidaryError LAP_DATA_STORE: what the pipeline needs is unknown then, so nothing may be removed */
export function parseRegistration(text: string, location: string): Registration {
  const read = registration.safeParse(parsedJson(text));
  if (!read.success) throw damaged(location, "the list of what a pipeline needs has another form");
  return read.data;
}
