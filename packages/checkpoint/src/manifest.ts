import { createHash } from "node:crypto";
import { StrictJsonError, parseStrictJson } from "@lapidary/interop";
import { asJson, canonicalJson } from "@lapidary/std";
import { z } from "zod";
import { checkpointDamaged } from "./checkpoint-errors.js";

const hex = (length: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${length}}$`));
const count = z.number().int().nonnegative();

/** A named segment of a file: a tensor, or the header before the first. The segments are adjacent and fill the file. */
const partSchema = z.strictObject({ name: z.string(), bytes: count, crc32: hex(8) });
/** File names of a checkpoint are names, never paths. */
const fileNamePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** The checksums of the parts cover every byte. Checkpoints of earlier versions also have one of the whole file. */
const fileSchema = z.strictObject({ bytes: count, sha256: hex(64).optional(), parts: z.array(partSchema).min(1) });
export type ManifestFile = z.infer<typeof fileSchema>;

/** The properties of a checkpoint and of its run. */
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
  /** Hash of the program of the train step. */
  program: z.string(),
  /** Digest of the step log at this step. */
  ledger: z.string(),
  heldout_loss: z.number().optional(),
  files: z.record(z.string().regex(fileNamePattern), fileSchema),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Everything except the files: Lapidary makes their entries, and to check them takes as long as all other work. */
const headSchema = z.object(manifestSchema.shape).omit({ files: true });

/** The keys are in the order of the schemas. */
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

/** Larger than the manifest of any model. */
export const maxManifestBytes = 64 << 20;

/** The text of a manifest. It contains a checksum of itself, so that a reader detects every changed bit. */
export function printManifest(manifest: Manifest): string {
  const inOrder = { ...headSchema.parse(manifest), files: inOrderOf(manifest.files) };
  return `${JSON.stringify({ ...inOrder, sha256: digestOf(inOrder) }, null, 1)}\n`;
}

/**
 * @param place the location in errors
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
  // The checksum covers the text of the file: white space and the spelling of numbers are part of it.
  if (sha256 !== digestOf(parsed.data) || text !== printManifest(parsed.data))
    throw checkpointDamaged(place, manifestName, "its checksum does not fit its content");
  return parsed.data;
}

const digestOf = (manifest: Manifest): string =>
  createHash("sha256")
    .update(canonicalJson(asJson(manifest)))
    .digest("hex");

/** Objects without a prototype, so that no key has a meaning for JavaScript. */
function plainOf(json: ReturnType<typeof parseStrictJson>): unknown {
  if (Array.isArray(json)) return json.map(plainOf);
  if (json instanceof Map) {
    const plain = Object.create(null) as Record<string, unknown>;
    for (const [key, value] of json as ReadonlyMap<string, ReturnType<typeof parseStrictJson>>) plain[key] = plainOf(value);
    return plain;
  }
  return json;
}
