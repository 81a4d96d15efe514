import { isNetworkError, type S3Client, textOf } from "./s3-client.js";

/** An object as a listing names it. */
export interface S3Entry {
  /** The whole name in the bucket. */
  readonly name: string;
  readonly bytes: number;
  /** Changes when the bytes change. */
  readonly stamp: string;
}

/**
 * The objects of the bucket whose names begin with `prefix`, in the order of their names. Memory is that of one page of names.
 *
 * @throws LapidaryError LAP_DATA_REMOTE
 */
export async function* listS3(client: S3Client, prefix: string, namesOfPage = 1000): AsyncGenerator<S3Entry> {
  let token: string | undefined;
  do {
    const query = {
      "list-type": "2",
      "max-keys": String(namesOfPage),
      prefix,
      ...(token === undefined ? {} : { "continuation-token": token }),
    };
    const page = await pageOf(client, query);
    for (const [, entry = ""] of page.matchAll(/<Contents>(.*?)<\/Contents>/gs))
      yield { name: field(entry, "Key"), bytes: Number(field(entry, "Size")), stamp: field(entry, "ETag") };
    token = field(page, "IsTruncated") === "true" ? field(page, "NextContinuationToken") : undefined;
  } while (token !== undefined && token !== "");
}

/** A listing whose connection breaks is asked for again. */
async function pageOf(client: S3Client, query: Readonly<Record<string, string>>): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const { body } = await client.send({ method: "GET", name: "", query }, [200]);
    try {
      return await textOf(body);
    } catch (error) {
      if (!isNetworkError(error)) throw error;
      if (!(await client.pause(attempt))) throw client.failure("", error.message);
    }
  }
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The text of an element of XML; empty if there is none. */
const field = (xml: string, name: string): string =>
  (new RegExp(`<${name}>(.*?)</${name}>`, "s").exec(xml)?.[1] ?? "").replace(
    /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi,
    (whole, decimal?: string, hex?: string, entity = "") =>
      decimal !== undefined
        ? String.fromCodePoint(Number(decimal))
        : hex !== undefined
          ? String.fromCodePoint(Number.parseInt(hex, 16))
          : (entities[entity] ?? whole),
  );
