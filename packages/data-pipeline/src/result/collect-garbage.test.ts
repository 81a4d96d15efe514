import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isS3, openStore, type S3Access } from "@lapidary/data-store";
import { startConditionalS3Server, startS3Server, type TestS3Server } from "@lapidary/data-store/testing";
import { temporaryDirectory } from "@lapidary/std/testing";
import type { StartRunner } from "../run/task-executor.js";
import { jsonlOf, localRunner, proseOf, runFile, writeText } from "../testing/pipelines.js";
import { collectGarbage } from "./collect-garbage.js";
import { pipelineStatus } from "./status.js";

describe("the objects of pipelines that share a store", function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();

  const fileOf = (name: string, store: string, words: number): string => {
    writeText(join(directory(), `in/${name}.jsonl`), jsonlOf(Array.from({ length: 12 }, (_, i) => proseOf(i + words))));
    return writeText(
      join(directory(), `${name}.yaml`),
      `sources: { ${name}: { read: ./in/${name}.jsonl, licence: CC0-1.0 } }
stages:
  - measure: [gopher]
  - rules: { short: gopher.words < ${words} }
out: ./${name}
store: ${store}
`,
    );
  };

  function suite(location: () => string, s3: () => S3Access | undefined): void {
    it("garbage of one pipeline is removed, what another needs is kept, and foreign objects are no garbage", async () => {
      const options = { s3: s3() };
      const store = openStore(location(), { ...options, scratch: join(directory(), "scratch") });
      await runFile(fileOf("a", location(), 40), options);
      const b = await runFile(fileOf("b", location(), 45), options);
      const first = await collectGarbage(join(directory(), "a"), options);
      deepStrictEqual([first.objects, first.others.map(({ file }) => file)], [[], [join(directory(), "b.yaml")]]);

      // The rule of a changes: what the earlier plan alone needed is garbage.
      const a = await runFile(fileOf("a", location(), 41), options);
      const removed = (await collectGarbage(join(directory(), "a"), options)).objects;
      ok(removed.length > 0 && removed.every((key) => ![...a.plan.keys(), ...b.plan.keys()].includes(key)), String(removed));
      for (const out of ["a", "b"]) strictEqual((await pipelineStatus(join(directory(), out), options.s3)).isComplete, true);
      strictEqual((await runFile(fileOf("b", location(), 45), options)).computed, 0);

      // b exists no more.
      rmSync(join(directory(), "b"), { recursive: true });
      deepStrictEqual((await collectGarbage(join(directory(), "a"), options)).objects, []);
      await rejects(collectGarbage(join(directory(), "a"), { ...options, forget: "b" }), { code: "LAP_DATA_SETTING" });
      const forgotten = await collectGarbage(join(directory(), "a"), { ...options, forget: first.others[0]?.id });
      deepStrictEqual([...forgotten.objects].sort(), [...b.plan.keys()].filter((key) => ![...a.plan.keys()].includes(key)).sort());
      deepStrictEqual((await store.list()).map(({ key }) => key).sort(), [...a.plan.keys()].sort());
    });

    it("a run leaves alone what another pipeline computes at the same time, and so does its garbage collection", async () => {
      const options = { s3: s3() };
      const a = fileOf("a", location(), 40);
      await runFile(a, options);
      let between = 0;
      const startRunner: StartRunner = (...where) => {
        const runner = localRunner(...where);
        return {
          ...runner,
          request: async (message) => {
            const scratch = openStore(...where).makeScratch("f".repeat(64));
            // The key is one that b needs.
            const own = isS3(location()) ? scratch : scratch.replace("f".repeat(64), keyOfB);
            mkdirSync(own, { recursive: true });
            writeFileSync(join(own, "half"), "");
            await runFile(a, options);
            await collectGarbage(join(directory(), "a"), options);
            strictEqual(readFileSync(join(own, "half"), "utf8"), "");
            between++;
            return runner.request(message);
          },
        };
      };
      const [keyOfB = ""] = (await runFile(fileOf("b", location(), 45), options)).plan.keys();
      for (const { key } of await openStore(location(), { ...options, scratch: join(directory(), "scratch") }).list())
        if (key === keyOfB) await openStore(location(), { ...options, scratch: join(directory(), "scratch") }).remove(key);
      await runFile(fileOf("b", location(), 45), { ...options, startRunner });
      ok(between > 0);
      strictEqual((await pipelineStatus(join(directory(), "b"), options.s3)).isComplete, true);
    });
  }

  describe("a directory", () => {
    suite(
      () => join(directory(), "store"),
      () => undefined,
    );
  });

  for (const [title, start] of [
    ["a server that ignores If-None-Match", (): Promise<TestS3Server> => startS3Server(join(directory(), "server"))],
    ["a server that knows If-None-Match", startConditionalS3Server],
  ] as const)
    describe(title, () => {
      let server: TestS3Server;
      beforeEach(async () => {
        server = await start();
      });
      afterEach(() => server.close());
      suite(
        () => "s3://data/shared/v 3",
        () => server.access,
      );
    });
});
