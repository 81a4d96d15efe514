import { LapidaryError } from "@lapidary/std";
import type { S3Access, S3Place } from "./s3-client.js";

/** How a process reaches stores and sources that are not on its disk. It is JSON: a parent process gives it to its children. */
export interface StoreAccess {
  /** Undefined: there are no credentials. */
  readonly s3?: S3Access | undefined;
  /** A directory on this machine, for files in progress of stores that are elsewhere. */
  readonly scratch: string;
}

/** Whether a location is an address of an object or of a prefix in an S3-compatible server. */
export const isS3 = (location: string): boolean => location.startsWith("s3://");

/**
 * The bucket and the name of `s3://bucket/name`.
 *
 * @throws LapidaryError LAP_DATA_PIPELINE
 */
export function s3PlaceOf(url: string): S3Place {
  const [, bucket, name = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(url) ?? [];
  if (bucket === undefined)
    throw new LapidaryError({
      code: "LAP_DATA_PIPELINE",
      message: `${url} is not an address of an S3-compatible store`,
      location: url,
      remedy: "write `s3://bucket/prefix`; a name of a bucket has 3 to 63 small letters, digits, dots and hyphens",
    });
  return { bucket, prefix: name.replace(/\/+$/, "") };
}

/**
 * The access that the variables of AWS describe; undefined without credentials. `AWS_ENDPOINT_URL` names a server that is not of AWS.
 *
 * @throws LapidaryError LAP_DATA_CREDENTIALS if the address of the server is not a URL
 */
export function s3AccessOf(env: Readonly<Record<string, string | undefined>>): S3Access | undefined {
  const text = (...names: readonly string[]): string | undefined =>
    names.map((name) => env[name]).find((value) => value !== undefined && value !== "");
  const [accessKeyId, secretAccessKey] = [text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const region = text("AWS_REGION", "AWS_DEFAULT_REGION") ?? "us-east-1";
  const endpoint = text("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") ?? `https://s3.${region}.amazonaws.com`;
  if (!/^https?:\/\/[^/]/.test(endpoint) || !URL.canParse(endpoint))
    throw new LapidaryError({
      code: "LAP_DATA_CREDENTIALS",
      message: `${JSON.stringify(endpoint)} is not the URL of a server`,
      location: "AWS_ENDPOINT_URL",
      remedy: "write a URL such as http://10.0.0.5:9000",
    });
  const sessionToken = text("AWS_SESSION_TOKEN");
  return { endpoint, region, accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

export const noAccess = (location: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_CREDENTIALS", message: "there are no credentials for the S3-compatible server", location });
