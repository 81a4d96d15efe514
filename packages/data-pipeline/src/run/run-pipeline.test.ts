import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ObjectStore, openStore } from "@lapidary/data-store";
import { DocumentTable, readPublished, verifyPublished } from "@lapidary/mixture";
import { ensure } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { readTokenizer, trainSentencePiece } from "@lapidary/tokenizer";
import { collectGarbage } from "../result/collect-garbage.js";
import { datasetCard, idleStages } from "../result/card.js";
import { cardText } from "../result/card-text.js";
import { diffDatasets } from "../result/diff.js";
import { readPlanFile } from "../result/plan-file.js";
import { pipelineStatus } from "../result/status.js";
import { whatIf } from "../result/whatif.js";
import { whyDocument } from "../result/why.js";
import { editDocuments } from "../stages/map-documents.js";
import { openView } from "../view/open-view.js";
import { jsonlOf, localRunner, objectDigests, proseOf, runFile, writeText } from "../testing/pipelines.js";
import type { StartRunner } from "./task-executor.js";
import type { TaskRunner } from "./task-process.js";

const rules = `{ short: 'gopher.words < 60', quality: 'quality.prose < 0.5 unless source in [code]' }`;
const texts = Array.from({ length: 40 }, (_, i) => proseOf(i, 3 + (i % 7)));
const mail = "Write to jane.roe@lapidary-mail.org about the text that you read, because it has a mistake in a line.\n";

const model = trainSentencePiece(texts, { vocabSize: 700 }).file;

/** A pipeline file of two sources of JSONL. */
function pipelineIn(
  directory: string,
  { out = "out", rule = rules, shard = 3000, expect = 60, extra = "", tokenizer = "tokenizer: ./given.model" } = {},
): string {
  writeFileSync(join(directory, "given.model"), model);
  writeText(join(directory, "web/a.jsonl"), `${jsonlOf(texts.slice(0, 25))}not JSON\n`);
  writeText(join(directory, "web/b.jsonl"), jsonlOf([`${mail}${proseOf(99, 8)}`, ...texts.slice(25)]));
  writeText(join(directory, "code/c.jsonl"), jsonlOf(["const a = 1;\n".repeat(40), `${proseOf(3, 4)}\nx = [1];`]));
  return writeText(
    join(directory, `${out}.yaml`),
    `sources:
  web: { read: ./web/*.jsonl*, licence: mixed${extra} }
  code: { read: ./code, licence: MIT }
stages:
  - measure: [gopher, quality, pii]
  - rules: ${rule}
    expect: ${expect}%
  - redact: { email: <email> }
  - tokenize: { ${tokenizer} }
out: ./${out}
shard: ${shard}
`,
  );
}

/** A runner that counts its runs, and whose process dies at texts that `isDeadly` names. */
function deadlyRunner(deadly: readonly string[]): { readonly start: StartRunner; readonly requests: string[] } {
  const requests: string[] = [];
  const start: StartRunner = (...where) => {
    const local = localRunner(...where);
    const request: TaskRunner["request"] = async (message) => {
      const { task, limits, kind } = message;
      const outcome = await local.request({ ...message, kind: "probe" });
      const ids = outcome.kind === "probed" && task.stage === "measure" ? outcome.ids : [];
      requests.push(`${kind} ${task.stage}`);
      if (ids.some((id) => deadly.includes(id) && !limits.setAside.includes(id))) return { kind: "died", why: "SIGSEGV" };
      return kind === "run" ? local.request(message) : outcome;
    };
    return { request, kill: () => undefined };
  };
  return { start, requests };
}

describe("runs of pipelines", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  it("a run accounts for every document, publishes a dataset whose bytes are right, and a second run does no work", async () => {
    const file = pipelineIn(directory(), { tokenizer: "train: { size: 700, from: 1MB }" });
    const first = await runFile(file);
    const [read, measure, rule, redact, tokenize] = first.stages.map(({ counts }) => counts);
    deepStrictEqual([read?.in, read?.out, read?.dropped], [44, 43, { "bad JSON": 1 }]);
    deepStrictEqual([measure?.in, rule?.in, redact?.in, tokenize?.in], [43, 43, rule?.out, redact?.out]);
    strictEqual(
      (rule?.in ?? 0) - (rule?.out ?? 0),
      Object.values(rule?.dropped ?? {}).reduce((sum, n) => sum + n, 0),
    );
    ok((rule?.dropped["short"] ?? 0) > 0);
    strictEqual(redact?.cut?.["email"], "jane.roe@lapidary-mail.org".length);
    const published = await verifyPublished(join(directory(), "out"));
    strictEqual(published.sources["web"]?.documents, first.stages.at(-1)?.bySource["web"]?.out);
    const again = await runFile(file, {
      startRunner: () => ({
        request: () => {
          throw new Error("a task ran twice");
        },
        kill: () => undefined,
      }),
    });
    deepStrictEqual([again.computed, again.found], [0, first.computed]);
  });

  it("the kept documents do not depend on shards, and bytes do not depend on the number of workers", async () => {
    const results = [];
    for (const [out, shard, workers] of [
      ["one", 1e6, 1],
      ["three", 3000, 3],
      ["again", 3000, 1],
    ] as const) {
      await runFile(pipelineIn(directory(), { out, shard }), { workers });
      results.push(objectDigests(join(directory(), out)));
    }
    deepStrictEqual(results[1], results[2]);
    const difference = await diffDatasets(join(directory(), "one"), join(directory(), "three"));
    deepStrictEqual([difference.added, difference.removed, difference.changed, difference.stages], [[], [], [], []]);
    ok(Object.keys(results[1] ?? {}).length > Object.keys(results[0] ?? {}).length);
  });

  it("a changed rule computes the stages after it, and lines that are appended compute their shard", async () => {
    const stagesOf = async (file: string): Promise<readonly string[]> => {
      const ran: string[] = [];
      await runFile(file, {
        startRunner: (...where) => {
          const runner = localRunner(...where);
          return {
            ...runner,
            request: (message) => (ran.push(`${message.task.stage} ${message.task.shard?.shard.name ?? ""}`), runner.request(message)),
          };
        },
      });
      return ran;
    };
    const all = await stagesOf(pipelineIn(directory()));
    const changed = await stagesOf(pipelineIn(directory(), { rule: rules.replace("60", "50") }));
    deepStrictEqual([...new Set(changed.map((each) => each.split(" ")[0]))].sort(), ["redact", "rules", "tokenize"]);
    ok(all.some((each) => each.startsWith("measure")));
    const file = pipelineIn(directory(), { rule: rules.replace("60", "50") });
    appendFileSync(join(directory(), "web/b.jsonl"), jsonlOf([proseOf(1000, 9)]));
    const appended = await stagesOf(file);
    strictEqual(appended.filter((each) => each.startsWith("read")).length, 1, appended.join(", "));
  });

  it("what would stay under a changed rule is what a run with the rule keeps", async () => {
    const file = pipelineIn(directory());
    await runFile(file);
    for (const [change, from, to] of [
      ["short = gopher.words < 75", "gopher.words < 60", "gopher.words < 75"],
      ["gopher.words_min = 40", "gopher.words < 60", "gopher.words < 40"],
    ] as const) {
      const effect = await whatIf(join(directory(), "out"), change);
      const changed = await runFile(pipelineIn(directory(), { out: "changed", rule: rules.replace(from, to) }));
      strictEqual(effect.kept.after, changed.stages[2]?.counts.out, change);
      deepStrictEqual(effect.dropped.after, changed.stages[2]?.counts.dropped);
      ok(effect.gained.length + effect.lost.length > 0);
      const difference = await diffDatasets(join(directory(), "out"), join(directory(), "changed"));
      deepStrictEqual([[...effect.gained].sort(), [...effect.lost].sort()], [difference.added, difference.removed]);
    }
    await rejects(whatIf(join(directory(), "out"), "gopher.word_min = 4"), { code: "LAP_DATA_RULE", remedy: /gopher\.words_min/ });
  });

  it("a stage that drops more than expected stops with its reasons and examples", async () => {
    const file = pipelineIn(directory(), { expect: 10 });
    await rejects(runFile(file), (error: Error & { readonly code?: string; readonly location?: string; readonly exit?: number }) => {
      deepStrictEqual([error.code, error.exit], ["LAP_DATA_EXPECT", 1]);
      match(
        error.message,
        /the stage rules dropped \d+ of 43 documents .*short \d+[\s\S]*at most 10 %[\s\S]*\n {2}[0-9a-f]{12} short: "Text/,
      );
      match(error.location ?? "", /out\.yaml:6:5$/);
      return true;
    });
    const card = await datasetCard(join(directory(), "out"));
    ok(card.stages[2]?.examples.length === 20 || card.stages[2]?.examples.length === card.stages[2]?.dropped["short"]);
  });

  it("a damaged file stops the run unless its source accepts damage, and is named on the card", async () => {
    const damage = (): void => writeFileSync(join(directory(), "web/c.jsonl.gz"), "this is not gzip");
    const file = pipelineIn(directory());
    damage();
    await rejects(runFile(file), { code: "LAP_DATA_DAMAGED", location: join(directory(), "web/c.jsonl.gz"), message: /not gzip/ });
    await runFile(pipelineIn(directory(), { extra: ", damaged: accept" }));
    match(cardText(await datasetCard(join(directory(), "out"))), /Damaged file of web: `c\.jsonl\.gz` \(not gzip\)/);
  });

  it("each document that ends the process is found, set aside and counted, and all others are kept", async () => {
    const file = pipelineIn(directory());
    const calm = await runFile(pipelineIn(directory(), { out: "calm" }));
    const found = await Promise.all([1, 2, 5, 8].map((line) => whyDocument(join(directory(), "calm"), `a.jsonl:line ${line}`)));
    const victims = found.flat().map(({ id }) => id);
    strictEqual(victims.length, 4);
    const { start, requests } = deadlyRunner(victims);
    const result = await runFile(file, { startRunner: start, workers: 1 });
    deepStrictEqual([...new Set(result.setAside.map(({ stage }) => stage))], ["measure"]);
    deepStrictEqual(result.setAside.map(({ id }) => id).sort(), [...victims].sort());
    deepStrictEqual(result.stages[1]?.counts.dropped, { "kills the stage": 4 });
    strictEqual(result.stages[2]?.counts.in, (calm.stages[2]?.counts.in ?? 0) - 4);
    ok(requests.filter((each) => each === "probe measure").length < 4 * 8);
    const [history] = await whyDocument(join(directory(), "out"), victims[0] ?? "");
    deepStrictEqual(history?.stages.at(-1), { stage: "measure", kind: "dropped", reason: "kills the stage" });
  });

  it("a process that always ends is an error of its stage, and no document is set aside", async () => {
    const start: StartRunner = (...where) => {
      const local = localRunner(...where);
      return {
        request: async (message) =>
          message.kind === "run" && message.task.stage === "rules" ? { kind: "died", why: "SIGKILL" } : local.request(message),
        kill: () => undefined,
      };
    };
    await rejects(runFile(pipelineIn(directory()), { startRunner: start }), {
      code: "LAP_DATA_STAGE_DIED",
      message: /rules ended 9 times: SIGKILL/,
    });
  });

  it("a stored part that is cut or changed is computed again, with the same bytes", async () => {
    const file = pipelineIn(directory());
    await runFile(file);
    const out = join(directory(), "out");
    const whole = objectDigests(out);
    const [read] = (await pipelineStatus(out)).stages;
    ok(read !== undefined);
    for (const damage of [
      (path: string) => truncateSync(path, 40),
      (path: string) => writeFileSync(path, readFileSync(path, "utf8").replace("Text", "Txet")),
    ]) {
      const [first] = readPlanFile(out).shards();
      const keyOf = (stage: number): string => ensure(first?.accounts[stage], "an account").key;
      const store = new ObjectStore(out);
      damage(join(out, "objects", keyOf(0), "part-0"));
      await store.remove(keyOf(1));
      const warnings: string[] = [];
      await runFile(file, { warn: (text) => warnings.push(text) });
      match(warnings.join("\n"), /part-0 is damaged, and is computed again/);
      deepStrictEqual(objectDigests(out), whole);
    }
  });

  it("a run that is aborted goes on, and its bytes are those of an undisturbed run", async () => {
    await runFile(pipelineIn(directory(), { out: "calm" }));
    const undisturbed = objectDigests(join(directory(), "calm"));
    const file = pipelineIn(directory());
    for (let aborted = 0; aborted < 3; aborted++) {
      const abort = new AbortController();
      let left = 3;
      const start: StartRunner = (...where) => {
        const local = localRunner(...where);
        const stop = (): { readonly kind: "died"; readonly why: string } => {
          abort.abort(new Error("stopped"));
          return { kind: "died", why: "killed" };
        };
        return { ...local, request: async (message) => (--left < 0 ? stop() : local.request(message)) };
      };
      await rejects(runFile(file, { startRunner: start, signal: abort.signal }), { message: "stopped" });
    }
    await runFile(file);
    deepStrictEqual(objectDigests(join(directory(), "out")), undisturbed);
  });

  it("a run whose process is killed at any object goes on, and its bytes are those of an undisturbed run", async () => {
    await runFile(pipelineIn(directory(), { out: "calm" }));
    const undisturbed = objectDigests(join(directory(), "calm"));
    const file = pipelineIn(directory());
    const main = fileURLToPath(new URL("../testing/run-main.js", import.meta.url));
    /** Runs the pipeline in a process with child processes, and kills it after some objects. */
    const run = async (objects: number): Promise<readonly [number | null, string | null]> => {
      const child = spawn(process.execPath, [main, file], { stdio: ["ignore", "pipe", "inherit"] });
      const exited = once(child, "exit") as Promise<[number | null, string | null]>;
      let left = objects;
      for await (const _line of createInterface({ input: child.stdout })) if (--left === 0) child.kill("SIGKILL");
      return exited;
    };
    for (const objects of [1, 4]) deepStrictEqual(await run(objects), [null, "SIGKILL"]);
    deepStrictEqual(await run(Number.POSITIVE_INFINITY), [0, null]);
    deepStrictEqual(objectDigests(join(directory(), "out")), undisturbed);
  });

  it("objects that neither the last run nor the dataset needs are removed", async () => {
    await runFile(pipelineIn(directory()));
    const out = join(directory(), "out");
    const before = objectDigests(out);
    await runFile(pipelineIn(directory(), { rule: rules.replace("60", "50") }));
    await runFile(pipelineIn(directory()));
    const dry = await collectGarbage(out, { isDry: true });
    ok(dry.objects.length > 0 && dry.bytes > 0);
    deepStrictEqual((await collectGarbage(out)).objects, dry.objects);
    deepStrictEqual(objectDigests(out), before);
    await verifyPublished(out);
    deepStrictEqual([(await collectGarbage(out, { isDry: true })).objects, (await pipelineStatus(out)).isComplete], [[], true]);
  });

  it("a stage that exists to change documents and changed none is named", async () => {
    const file = pipelineIn(directory());
    writeFileSync(file, readFileSync(file, "utf8").replace("email: <email>", "iban: drop"));
    const { stages } = await runFile(file);
    deepStrictEqual(idleStages(stages), ["redact"]);
    match(cardText(await datasetCard(join(directory(), "out"))), /### redact\n\nThis stage changed nothing\./);
  });

  /** A pipeline that removes copies among 12 texts, of which each source has 6, and the last two of `web` are those of `code`. */
  function copiesIn(scope: string): string {
    const all = Array.from({ length: 12 }, (_, i) => proseOf(i, 4));
    writeText(join(directory(), "web/a.jsonl"), jsonlOf(all.slice(0, 6)));
    writeText(join(directory(), "code/a.jsonl"), jsonlOf([...all.slice(4, 6), ...all.slice(6, 10)]));
    return writeText(
      join(directory(), "copies.yaml"),
      `sources: { web: { read: ./web, licence: MIT }, code: { read: ./code, licence: MIT } }
stages:
  - dedup: { exact: { scope: ${scope} } }
out: ./copies
`,
    );
  }

  it("a dedup that finds none of the copies, because they are in another source, is named as one that changed nothing", async () => {
    deepStrictEqual(idleStages((await runFile(copiesIn("source"))).stages), ["dedup"]);
    const { stages } = await runFile(copiesIn("all"));
    deepStrictEqual([idleStages(stages), stages.at(-1)?.counts.dropped], [[], { "copy of web": 2 }]);
  });

  it("a stage whose filter was fed all texts before it reads them stops the run, and no dataset is published", async () => {
    const file = copiesIn("all");
    /** The bug of a Bloom filter that is fed twice: every text has been seen. */
    const fedTwice = (...where: Parameters<typeof localRunner>): TaskRunner => {
      const [store, local] = [openStore(...where), localRunner(...where)];
      return {
        ...local,
        request: async (request) => {
          const { task } = request;
          if (task.stage !== "dedup" || task.step === 0 || task.shard === undefined) return local.request(request);
          const { shard, view } = task.shard;
          const opened = openView(store, { shard, keys: view, columns: new Map(), setAside: new Set() });
          const seen = new Set<string>();
          for await (const { text } of opened.documents()) seen.add(text);
          const object = await store.write(task.key, () =>
            editDocuments(opened, ({ text }) => (seen.has(text) ? { drop: "copy of web" } : undefined)),
          );
          return { kind: "stored", object };
        },
      };
    };
    await rejects(runFile(file, { startRunner: fedTwice }), (error: Error & { readonly code?: string; readonly exit?: number }) => {
      deepStrictEqual([error.code, error.exit], ["LAP_DATA_EXPECT", 1]);
      match(error.message, /the stage dedup dropped 12 of 12 documents .*copy of web 12[^]*at most 60 %[^]*copy of web: "Text/);
      return true;
    });
  });

  it("pages are read as their main text, and a key without an effect is an error at its line", async () => {
    const page = (text: string): string =>
      `<html><body><nav><a href="/">Home</a> <a href="/all">All pages</a></nav><main><p>${text.replaceAll("\n", "</p><p>")}</p></main></body></html>`;
    writeText(join(directory(), "pages/a.html"), page(texts[5] ?? ""));
    writeText(join(directory(), "pages/empty.html"), "<html><body><nav><a href='/'>Home</a></nav></body></html>");
    const file = writeText(
      join(directory(), "p.yaml"),
      "sources:\n  pages: { read: ./pages, licence: own, extract: main-text }\nstages:\n  - measure: [gopher]\nout: ./out\n",
    );
    const { stages, dataset } = await runFile(file);
    deepStrictEqual(
      stages.map(({ stage, counts }) => [stage, counts.in, counts.out, counts.dropped]),
      [
        ["read", 2, 2, {}],
        ["extract", 2, 1, { "no main text": 1 }],
        ["measure", 1, 1, {}],
      ],
    );
    strictEqual(dataset, undefined);
    strictEqual(stages[1]?.counts.bytes, Buffer.byteLength((texts[5] ?? "").replaceAll("\n", "\n\n")));
    deepStrictEqual((await whyDocument(join(directory(), "out"), "empty.html:whole"))[0]?.stages.at(-1), {
      stage: "extract",
      kind: "dropped",
      reason: "no main text",
    });
    writeFileSync(file, readFileSync(file, "utf8").replace("extract: main-text", "text: body"));
    await rejects(runFile(file), { code: "LAP_DATA_PIPELINE", message: /text has no effect/, location: /p\.yaml:2:41$/ });
  });

  it("documents keep their tokens under a tokenizer that is given", async () => {
    await runFile(pipelineIn(directory(), { tokenizer: "train: { size: 700 }" }));
    const { tokenizer } = readPublished(join(directory(), "out"));
    await runFile(pipelineIn(directory(), { out: "given", tokenizer: `tokenizer: ./out/${tokenizer.file}` }));
    const difference = await diffDatasets(join(directory(), "out"), join(directory(), "given"));
    deepStrictEqual([difference.added, difference.removed, difference.changed], [[], [], []]);
    deepStrictEqual(readPublished(join(directory(), "given")).tokenizer, tokenizer);
  });

  it("a file that changes a control token of the tokenizer encodes the documents again, and each begins with <bos>", async () => {
    const file = pipelineIn(directory(), { shard: 1_000_000 });
    await runFile(file);
    strictEqual((await runFile(file)).computed, 0);
    writeFileSync(join(directory(), "generation_config.json"), '{ "eos_token_id": 5 }');
    strictEqual((await runFile(file)).computed, 2);
    const out = join(directory(), "out");
    const { sources, tokenizer } = readPublished(out);
    const { bos } = readTokenizer(join(out, tokenizer.file)).tokenizer.control;
    for (const { tokens, documents, document_count } of Object.values(sources).flatMap(({ shards }) => shards)) {
      const ids = readFileSync(join(out, tokens));
      const table = new DocumentTable(join(out, documents), document_count);
      let at = 0;
      for (const { tokens: count } of table.from()) {
        strictEqual(ids.readUInt16LE(2 * at), bos);
        at += count;
      }
      table.close();
      strictEqual(2 * at, ids.length);
    }
  });
});
