import { createWriteStream, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { isS3, type S3Access, S3Source } from "@lapidary/data-store";
import type { ShardFile } from "../plan/shard.js";

/**
 * The files of a shard on this machine. A file or a range of an S3-compatible server is copied to the scratch directory, compared with its digest, and
 * removed when the next one is asked for. Formats such as Parquet need random access, and a copy gives the same bytes to every reader.
 *
 * @throws LapidaryError LAP_DATA_CREDENTIALS, LAP_DATA_CHANGED, LAP_DATA_REMOTE
 */
export async function* localFiles(files: readonly ShardFile[], s3: S3Access | undefined, scratch: string): AsyncGenerator<ShardFile> {
  for (const file of files) {
    if (!isS3(file.path)) {
      yield file;
      continue;
    }
    const path = join(scratch, "source");
    const { start, end } = file.range ?? { start: 0, end: file.bytes };
    await pipeline(new S3Source(s3, file.path).readEqual(file.path, [start, end], file.sha256), createWriteStream(path));
    yield { ...file, path, ...(file.range === undefined ? {} : { range: { start: 0, end: end - start, line: file.range.line } }) };
    rmSync(path);
  }
}
