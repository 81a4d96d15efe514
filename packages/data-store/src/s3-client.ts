import { createReadStream } from "node:fs";
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import { isSystemError, LapidaryError } from "@lapidary/std";
import { AwsV4Signer } from "aws4fetch";

/** A server with the interface of S3, and what requests to it are signed with. */
export interface S3Access {
  /** `https://s3.eu-central-1.amazonaws.com`, or the address of another server. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Where objects are in a server. */
export interface S3Place {
  readonly bucket: string;
  /** The beginning of all names, without a slash at its end. */
  readonly prefix: string;
}

export type S3Address = S3Access & S3Place;

type S3Body = { readonly bytes: Uint8Array } | { readonly file: string; readonly size: number };

export interface S3Request {
  readonly method: "GET" | "PUT" | "DELETE";
  /** The name of the object in the bucket, without the prefix. */
  readonly name: string;
  /** A request to the bucket and not to an object: parameters of a listing. */
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: S3Body;
}

export interface S3Response {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
}

/** Attempts of a request, and the first pause between two of them, which doubles. */
const tries = 5;
const firstPause_ms = 100;

/** A connection without any byte for this time is given up, and the request is sent again. */
const silence_ms = 120_000;

/** Answers after which the same request can succeed. 409 is that of two conditional requests at the same time. */
const isTransient = (status: number): boolean => (status >= 500 ? status !== 501 : [408, 409, 425, 429].includes(status));

/** Sends signed requests. Transient failures are tried again, with pauses that double. */
export class S3Client {
  readonly #address: S3Address;

  constructor(address: S3Address) {
    this.#address = address;
  }

  /** `http://127.0.0.1:9000/bucket/prefix/name`; never has credentials. */
  urlOf(name: string): string {
    const { endpoint, bucket, prefix } = this.#address;
    const path = [bucket, ...prefix.split("/"), ...name.split("/")].filter((part) => part !== "").map(encodeURIComponent);
    return [endpoint.replace(/\/$/, ""), ...path].join("/");
  }

  /**
   * The answer to a request. The caller reads its body.
   *
   * @param accepted other statuses are errors
   * @throws LapidaryError LAP_DATA_REMOTE
   */
  async send(request: S3Request, accepted: readonly number[]): Promise<S3Response> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === tries;
      let response: S3Response;
      try {
        response = await this.#sendOnce(request);
      } catch (error) {
        if (!isNetworkError(error)) throw error;
        if (isLast) throw this.failure(request.name, error.message);
        await this.#pause(attempt);
        continue;
      }
      if (accepted.includes(response.status)) return response;
      const reason = await textOf(response.body).catch(() => "");
      if (isLast || !isTransient(response.status)) throw this.failure(request.name, `status ${response.status} ${errorCode(reason)}`);
      await this.#pause(attempt);
    }
  }

  /** Waits before the attempt after `attempt`. */
  async pause(attempt: number): Promise<boolean> {
    if (attempt >= tries) return false;
    await this.#pause(attempt);
    return true;
  }

  failure(name: string, why: string): LapidaryError {
    return new LapidaryError({
      code: "LAP_DATA_REMOTE",
      message: `the S3-compatible store does not answer as expected: ${why}`,
      location: this.urlOf(name),
    });
  }

  /** The address of a bucket with the parameters of a listing. */
  #listUrl(query: Readonly<Record<string, string>>): string {
    const { endpoint, bucket } = this.#address;
    return `${endpoint.replace(/\/$/, "")}/${encodeURIComponent(bucket)}?${new URLSearchParams(query).toString().replaceAll("+", "%20")}`;
  }

  async #sendOnce({ method, name, query, headers = {}, body }: S3Request): Promise<S3Response> {
    const { accessKeyId, secretAccessKey, sessionToken, region } = this.#address;
    const signer = new AwsV4Signer({
      method,
      url: query === undefined ? this.urlOf(name) : this.#listUrl(query),
      // The digest of the account shows whether a body arrived whole, so that files need not be read twice.
      headers: { ...headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      accessKeyId,
      secretAccessKey,
      region,
      service: "s3",
      ...(sessionToken === undefined ? {} : { sessionToken }),
    });
    const signed = await signer.sign();
    const length = body === undefined ? 0 : "bytes" in body ? body.bytes.length : body.size;
    const options = {
      method,
      headers: { ...Object.fromEntries(signed.headers), ...(method === "PUT" ? { "content-length": String(length) } : {}) },
    };
    const start = signed.url.protocol === "https:" ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request = start(signed.url, options, (answer) =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer }),
      );
      request.setTimeout(silence_ms, () => request.destroy(Object.assign(new Error("no answer"), { code: "ECONNRESET" })));
      request.on("error", reject);
      if (body === undefined || "bytes" in body) request.end(body?.bytes);
      else pipeline(createReadStream(body.file), request).catch(reject);
    });
  }

  #pause(attempt: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, firstPause_ms * 2 ** (attempt - 1)));
  }
}

/** The connection broke, or was refused. */
export const isNetworkError = (error: unknown): error is Error =>
  error instanceof Error &&
  (isSystemError(error) ||
    ["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"].includes((error as { code?: string }).code ?? "") ||
    error.message === "aborted");

export async function bytesOf(body: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export const textOf = async (body: IncomingMessage): Promise<string> => (await bytesOf(body)).toString("utf8");

const errorCode = (xml: string): string => /<Code>([^<]{1,100})<\/Code>/.exec(xml)?.[1] ?? "";
