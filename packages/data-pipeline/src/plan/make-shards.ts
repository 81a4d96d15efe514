import { createHash } from "node:crypto";
import type { S3Access } from "@lapidary/data-store";
import { isSystemError, systemError } from "@lapidary/std";
import type { Pipeline, SourceSettings } from "../file/pipeline-file.js";
import { pipelineError } from "../file/yaml-text.js";
import type { FileIndex } from "./file-index.js";
import { listFiles, type SourceFile } from "./list-files.js";
import type { Shard, ShardFile } from "./shard.js";

/**
 * The shards of all sources: files in the order of their names, each shard of about `shard` bytes.
 *
 * @param onFile called before a file is read
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_PIPELINE, LAP_DATA_CREDENTIALS, LAP_DATA_REMOTE, LAP_FILE_…
 */
export async function makeShards(
  pipeline: Pipeline,
  index: FileIndex,
  onFile: (file: string) => void,
  s3?: S3Access,
): Promise<readonly Shard[]> {
  const shards: Shard[] = [];
  for (const [source, settings] of Object.entries(pipeline.sources)) {
    const files = await listFiles(pipeline, source, settings, s3);
    checkUse(pipeline, source, settings, files);
    const pieces: ShardFile[] = [];
    for (const file of files) {
      onFile(file.path);
      pieces.push(...(await piecesOf(file, pipeline.shardBytes, index, s3)));
    }
    shards.push(...grouped(pieces, pipeline.shardBytes).map((group, i) => ({ source, name: `${source}/${i}`, files: group })));
  }
  return shards;
}

async function piecesOf(source: SourceFile, shardBytes: number, index: FileIndex, s3: S3Access | undefined): Promise<readonly ShardFile[]> {
  const { path, file } = source;
  try {
    const ranges = await index.rangesOf(source, shardBytes, s3);
    return ranges.map(({ start, end, line, sha256 }) => {
      const range = ranges.length === 1 ? {} : { range: { start, end, line } };
      return { path, file, sha256, bytes: end - start, ...range };
    });
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read a file of a source", place: path }) : error;
  }
}

/**
 * A shard ends when it is full, or, from a quarter on, after a file whose name says so. Thereby a new file changes the
 * shards near it, and not all shards after it.
 */
function grouped(pieces: readonly ShardFile[], shardBytes: number): readonly (readonly ShardFile[])[] {
  const groups: ShardFile[][] = [];
  let group: ShardFile[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    if (bytes > 0 && bytes + piece.bytes > 1.5 * shardBytes) {
      groups.push(group);
      [group, bytes] = [[], 0];
    }
    group.push(piece);
    bytes += piece.bytes;
    if (bytes < shardBytes && !(bytes >= shardBytes / 4 && isLast(piece))) continue;
    groups.push(group);
    [group, bytes] = [[], 0];
  }
  return group.length === 0 ? groups : [...groups, group];
}

/** True for one name of 16. */
const isLast = ({ file }: ShardFile): boolean => ((createHash("sha256").update(file).digest()[0] ?? 0) & 15) === 0;

/** A key that has no effect on any file of its source is a mistake. */
function checkUse(pipeline: Pipeline, source: string, settings: SourceSettings, files: readonly SourceFile[]): void {
  const names = files.map(({ file }) => file.replace(/\.(gz|gzip|zst|zstd)$/i, ""));
  const uses: readonly (readonly ["text" | "id" | "extract", RegExp, string])[] = [
    ["text", /\.(jsonl|ndjson|parquet|pq)$/i, "JSONL or Parquet"],
    ["id", /\.(jsonl|ndjson|parquet|pq)$/i, "JSONL or Parquet"],
    ["extract", /\.(html?|xhtml|warc)$/i, "HTML or WARC"],
  ];
  for (const [key, pattern, formats] of uses)
    if (settings[key] !== undefined && !names.some((name) => pattern.test(name)))
      throw pipelineError(
        `${key} has no effect: no file of source ${source} is ${formats}`,
        pipeline.locationOf(["sources", source, key]),
        `remove ${key}`,
      );
}
