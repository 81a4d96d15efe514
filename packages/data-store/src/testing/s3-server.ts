import { importCached } from "@lapidary/std/testing";

/** The part of s3rver, a server with the interface of S3 over a directory, that tests use. */
export interface S3Server {
  run(): Promise<{ readonly port: number }>;
  close(): Promise<void>;
}

interface S3ServerOptions {
  readonly address: string;
  readonly port: number;
  readonly silent: boolean;
  readonly directory: string;
  readonly configureBuckets: readonly { readonly name: string }[];
}

/** The class of servers. The package is in the cache; its first use downloads it. */
export async function s3ServerClass(): Promise<new (options: S3ServerOptions) => S3Server> {
  const module = (await importCached("s3-server", "s3rver")) as { readonly default: new (options: S3ServerOptions) => S3Server };
  return module.default;
}
