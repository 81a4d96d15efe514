import { createHash } from "node:crypto";
import { join } from "node:path";
import { ObjectStore } from "./object-store.js";
import { S3Store } from "./s3-store.js";
import { isS3, noAccess, s3PlaceOf, type StoreAccess } from "./store-access.js";
import type { OutputStore } from "./stored-object.js";

/**
 * The store at a location: the absolute path of a directory, or `s3://bucket/prefix`.
 *
 * @throws LapidaryError LAP_DATA_CREDENTIALS, LAP_DATA_PIPELINE
 */
export function openStore(location: string, { s3, scratch }: StoreAccess): OutputStore {
  if (!isS3(location)) return new ObjectStore(location);
  if (s3 === undefined) throw noAccess(location);
  // Each store has a directory of its own, so that removing what is unfinished leaves other pipelines alone.
  const directory = createHash("sha256").update(location).digest("hex").slice(0, 16);
  return new S3Store({ ...s3, ...s3PlaceOf(location) }, join(scratch, directory));
}
