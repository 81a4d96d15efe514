import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { temporaryDirectory } from "@lapidary/std/testing";
import { listFiles } from "../plan/list-files.js";
import { readPipeline } from "../file/pipeline-file.js";
import { fetchSources } from "./fetch-sources.js";

/** A registry of one package, `texts@1.0.0`. */
async function startRegistry(
  directory: string,
): Promise<{ readonly server: Server; readonly integrity: string; readonly requests: string[] }> {
  mkdirSync(join(directory, "package/docs"), { recursive: true });
  writeFileSync(join(directory, "package/package.json"), JSON.stringify({ name: "texts", version: "1.0.0" }));
  writeFileSync(join(directory, "package/docs/one.md"), "# A text\n");
  execFileSync("tar", ["-czf", "texts.tgz", "package"], { cwd: directory });
  const tarball = readFileSync(join(directory, "texts.tgz"));
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const requests: string[] = [];
  const server = createServer(({ url = "", headers }, reply) => {
    requests.push(url);
    if (url.endsWith(".tgz")) return void reply.end(tarball);
    if (url !== "/texts") return void reply.writeHead(404).end("{}");
    const dist = { tarball: `http://${headers.host}/texts.tgz`, integrity };
    reply.end(
      JSON.stringify({ name: "texts", "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": { name: "texts", version: "1.0.0", dist } } }),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, integrity, requests };
}

describe("sources that a registry has", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  const environment = { ...process.env };
  const place = mkdtempSync(join(tmpdir(), "lapidary-registry-"));
  before(async () => {
    registry = await startRegistry(place);
    process.env["npm_config_registry"] = `http://127.0.0.1:${(registry.server.address() as AddressInfo).port}/`;
    process.env["npm_config_cache"] = join(place, "cache");
  });
  after(() => {
    registry.server.close();
    process.env = environment;
    rmSync(place, { recursive: true, force: true });
  });

  const pipelineOf = (name: string, npm: string, integrity: string) => {
    mkdirSync(join(directory(), name), { recursive: true });
    const file = join(directory(), name, "pipeline.yaml");
    writeFileSync(
      file,
      `sources: { docs: { fetch: { npm: ${npm}, integrity: ${integrity} }, read: docs/*.md, licence: MIT } }
stages: [{ rules: { short: bytes < 1 } }]
out: ./out
`,
    );
    return readPipeline(file);
  };
  const fetchAll = (pipeline: ReturnType<typeof readPipeline>) => fetchSources(pipeline, new AbortController().signal, () => undefined);

  it("a package is downloaded once, its digest is checked, and the source reads its files", async () => {
    const pipeline = pipelineOf("first", "texts@1.0.0", registry.integrity);
    const source = pipeline.sources["docs"];
    ok(source !== undefined);
    try {
      await listFiles(pipeline, "docs", source);
      ok(false, "a source was read before it was fetched");
    } catch (error) {
      ok(error instanceof Error && "remedy" in error && String(error.remedy).includes("lapidary data fetch"), String(error));
    }
    const [first] = await fetchAll(pipeline);
    deepStrictEqual([first?.isNew, first?.licence, first?.package], [true, "MIT", "texts@1.0.0"]);
    deepStrictEqual(
      (await listFiles(pipeline, "docs", source)).map(({ file }) => file),
      ["one.md"],
    );
    const before = registry.requests.length;
    strictEqual((await fetchAll(pipeline))[0]?.isNew, false);
    strictEqual(registry.requests.length, before);
  });

  it("another digest, an unknown version and an unreachable registry are errors, and leave nothing that is read", async () => {
    const wrong = pipelineOf("wrong", "texts@1.0.0", registry.integrity.replace(/^sha512-../, "sha512-AA"));
    await rejects(fetchAll(wrong), { code: "LAP_DATA_DIGEST" });
    deepStrictEqual(existsSync(join(wrong.out, "fetched")) ? readdirSync(join(wrong.out, "fetched")) : [], []);
    await rejects(fetchAll(pipelineOf("unknown", "texts@2.0.0", registry.integrity)), {
      code: "LAP_DATA_FETCH",
      message: /no such version/,
    });
    const address = process.env["npm_config_registry"];
    process.env["npm_config_registry"] = "http://127.0.0.1:9/";
    await rejects(fetchAll(pipelineOf("offline", "texts@1.0.0", registry.integrity)), { code: "LAP_DATA_FETCH", message: /ECONNREFUSED/ });
    process.env["npm_config_registry"] = address;
  });

  it("a package without its exact version or digest is refused", () => {
    for (const [npm, integrity] of [
      ["texts", registry.integrity],
      ["texts@^1.0.0", registry.integrity],
      ["--silent", registry.integrity],
      ["texts@1.0.0", "sha512-short"],
    ] as const)
      try {
        pipelineOf("bad", npm, integrity);
        ok(false, `${npm} was accepted`);
      } catch (error) {
        ok(error instanceof Error && "code" in error && error.code === "LAP_DATA_PIPELINE", String(error));
      }
  });
});
