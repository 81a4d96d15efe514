import { createHash } from "node:crypto";
import { StrictJsonError, parseStrictJson } from "@lapidary/interop";
import { asJson, canonicalJson } from "@lapidary/std";
import { z } from "zod";
import { checkpointDamaged } from "./checkpoint-errors.js";

const hex = (length: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${length}}$`));
const count = z.number().int().nonnegative();

/** A named segment of a file: a tensor, or the header before the first. Segments follow one another and fill the file. */
const partSchema = z.strictObject({ name: z.string(), bytes: count, crc32: hex(8) });
/** File names of a checkpoint are names, never paths. */
const fileNamePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** The parts' checksums say of every byte whether it is right; checkpoints of earlier versions have one of the whole file besides. */
const fileSchema = z.strictObject({ bytes: count, sha256: hex(64).optional(), parts: z.array(partSchema).min(1) });
export type ManifestFile = z.infer<typeof fileSchema>;

/** What a checkpoint says of itself, and what it was made by. */
const manifestSchema = z.strictObject({
  format: z.literal("lapidary-checkpoint/1"),
  run: z.string(),
  step: count,
  /** Fence number of the attempt that wrote it. */
  epoch: count,
  /** Milliseconds since the epoch. */
  time: z.number(),
  mesh: z.string(),
  zero: z.number().int(),
  workers: count,
  /** Hash of the train step's program. */
  program: z.string(),
  /** Digest of the step log at this step. */
  ledger: z.string(),
  heldout_loss: z.number().optional(),
  files: z.record(z.string().regex(fileNamePattern), fileSchema),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** All but the files, which come from our own hands when a manifest is written: to check them as well takes as long as all else. */
const headSchema = z.object(manifestSchema.shape).omit({ files: true });

/** With keys in the order of the schemas. */
const inOrderOf = (files: Manifest["files"]): Manifest["files"] =>
  Object.fromEntries(
    Object.entries(files).map(([name, { bytes, sha256, parts }]) => [
      name,
      {
        bytes,
        ...(sha256 === undefined ? {} : { sha256 }),
        parts: parts.map((part) => ({ name: part.name, bytes: part.bytes, crc32: part.crc32 })),
      },
    ]),
  );

export const manifestName = "manifest.json";

/** More than the manifest of any model has. */
export const maxManifestBytes = 64 << 20;

/** The manifest as it is written: with a checksum of its own, so that no bit of it can change unnoticed. */
export function printManifest(manifest: Manifest): string {
  const inOrder = { ...headSchema.parse(manifest), files: inOrderOf(manifest.files) };
  return `${JSON.stringify({ ...inOrder, sha256: digestOf(inOrder) }, null, 1)}\n`;
}

/**
 * @param place stands in errors
 * @throws LAP_CHECKPOINT_DAMAGED
 */
export function parseManifest(text: string, place: string): Manifest {
  let plain: unknown;
  try {
    plain = plainOf(parseStrictJson(text));
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw checkpointDamaged(place, manifestName, error.message, error);
  }
  if (typeof plain !== "object" || plain === null) throw checkpointDamaged(place, manifestName, "expected an object");
  const { sha256, ...rest } = plain as Record<string, unknown>;
  const parsed = manifestSchema.safeParse(rest);
  if (!parsed.success) throw checkpointDamaged(place, manifestName, z.prettifyError(parsed.error).replaceAll("\n", " "));
  // What stands in the file is what is sealed, and in this very form: white space and spelling of numbers are part of it.
  if (sha256 !== digestOf(parsed.data) || text !== printManifest(parsed.data))
    throw checkpointDamaged(place, manifestName, "its checksum does not fit its content");
  return parsed.data;
}

const digestOf = (manifest: Manifest): string =>
  createHash("sha256")
    .update(canonicalJson(asJson(manifest)))
    .digest("hex");

/** Maps as plain objects without a prototype: no key means anything to JavaScript. */
function plainOf(json: ReturnType<typeof parseStrictJson>): unknown {
  if (Array.isArray(json)) return json.map(plainOf);
  if (json instanceof Map) {
    const plain = Object.create(null) as Record<string, unknown>;
    for (const [key, value] of json as ReadonlyMap<string, ReturnType<typeof parseStrictJson>>) plain[key] = plainOf(value);
    return plain;
  }
  return json;
}
