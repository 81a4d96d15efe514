import { createHash } from "node:crypto";
import { LapidaryError } from "@lapidary/std";
import { type S3Access, S3Client } from "./s3-client.js";
import { listS3, type S3Entry } from "./s3-list.js";
import { readS3 } from "./s3-read.js";
import { noAccess, s3PlaceOf } from "./store-access.js";

/** Files of sources in an S3-compatible server, by their addresses `s3://bucket/name`. */
export class S3Source {
  readonly #access: S3Access;

  /** @throws LapidaryError LAP_DATA_CREDENTIALS if there is no access */
  constructor(access: S3Access | undefined, location: string) {
    if (access === undefined) throw noAccess(location);
    this.#access = access;
  }

  /** The objects whose addresses begin with `url`, in the order of their names. */
  async *list(url: string): AsyncGenerator<S3Entry & { readonly url: string }> {
    const { bucket, prefix } = s3PlaceOf(url);
    for await (const entry of listS3(this.#clientOf(bucket), prefix)) yield { ...entry, url: `s3://${bucket}/${entry.name}` };
  }

  /**
   * Bytes [start, end) of an object.
   *
   * @throws LapidaryError LAP_DATA_CHANGED if it is absent or shorter, LAP_DATA_REMOTE
   */
  read(url: string, range: readonly [number, number]): AsyncGenerator<Buffer> {
    const { bucket, prefix } = s3PlaceOf(url);
    return readS3(this.#clientOf(bucket), prefix, range, (why) => changed(url, why));
  }

  /**
   * The same, compared with a digest at the end.
   *
   * @throws LapidaryError LAP_DATA_CHANGED, LAP_DATA_REMOTE
   */
  async *readEqual(url: string, range: readonly [number, number], sha256: string): AsyncGenerator<Buffer> {
    const hash = createHash("sha256");
    for await (const chunk of this.read(url, range)) {
      hash.update(chunk);
      yield chunk;
    }
    if (hash.digest("hex") !== sha256) throw changed(url, "its bytes are others");
  }

  #clientOf(bucket: string): S3Client {
    return new S3Client({ ...this.#access, bucket, prefix: "" });
  }
}

const changed = (location: string, why: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_CHANGED", message: `the file of a source changed after the pipeline was planned: ${why}`, location });
