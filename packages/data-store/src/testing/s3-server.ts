import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { importCached } from "@lapidary/std/testing";
import { type S3Access, S3Client } from "../s3-client.js";

/** A server with the interface of S3 that has one empty bucket. */
export interface TestS3Server {
  readonly access: S3Access;
  readonly bucket: string;
  close(): Promise<void>;
}

/** Puts an object into the bucket of a server. */
export async function putObject({ access, bucket }: TestS3Server, name: string, bytes: Uint8Array): Promise<void> {
  const client = new S3Client({ ...access, bucket, prefix: "" });
  (await client.send({ method: "PUT", name, body: { bytes } }, [200])).body.resume();
}

/** The part of s3rver that tests use. */
interface S3rver {
  run(): Promise<{ readonly port: number }>;
  close(): Promise<void>;
}

interface S3rverOptions {
  readonly address: string;
  readonly port: number;
  readonly silent: boolean;
  readonly directory: string;
  readonly configureBuckets: readonly { readonly name: string }[];
}

const bucket = "data";
const region = "us-east-1";

/**
 * A server over a directory that ignores `If-None-Match`. Its first use downloads it.
 *
 * @param directory is created
 * @param address of the interface on which it listens
 */
export async function startS3Server(directory: string, address = "127.0.0.1"): Promise<TestS3Server> {
  const module = (await importCached("s3-server", "s3rver")) as { readonly default: new (options: S3rverOptions) => S3rver };
  mkdirSync(directory, { recursive: true });
  const server = new module.default({ address, port: 0, silent: true, directory, configureBuckets: [{ name: bucket }] });
  const { port } = await server.run();
  const access = { endpoint: `http://${address}:${port}`, region, accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
  return { access, bucket, close: () => server.close() };
}

const tool = fileURLToPath(new URL("../../../../tools/cached-python.mjs", import.meta.url));

/** A server that knows `If-None-Match`, with its objects in memory. Its first use downloads it. */
export async function startConditionalS3Server(): Promise<TestS3Server> {
  const { stdout } = await promisify(execFile)(process.execPath, [tool, "conditional-s3-server"]);
  const python = stdout.trim().split("\n").at(-1) ?? "";
  const child = spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  const close = async (): Promise<void> => {
    child.kill();
    await exited;
  };
  // The output is read to the end, so that the server never waits for a reader.
  const endpoint = await new Promise<string>((resolve, reject) => {
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-4000);
      const [, url] = /Running on (http:\S+)/.exec(output) ?? [];
      if (url !== undefined) resolve(url);
    });
    child.once("exit", () => reject(new Error(`the server ended: ${output}`)));
  });
  const access = { endpoint, region, accessKeyId: "test", secretAccessKey: "test" };
  (await new S3Client({ ...access, bucket, prefix: "" }).send({ method: "PUT", name: "" }, [200])).body.resume();
  return { access, bucket, close };
}
