import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import { SpecialToken } from "@lapidary/tokenizer";
import { corpusSpec } from "../corpus/corpus-spec.js";
import { prose } from "@lapidary/std/testing";
import { type Batch, type Dataset, openCorpus } from "./dataset.js";
import { permute } from "@lapidary/mixture";
import { type PrepareOptions, prepareDataset } from "./prepare.js";
import { bytesPerToken, TokenReader, TokenWriter } from "./token-file.js";
import { TokenCounts } from "./unigram.js";

const workspace = new Workspace();
const cacheDir = workspace.folder();
const corpusPath = join(workspace.folder({ "book.txt": prose(1, 600) }), "book.txt");
const options = (path = corpusPath): PrepareOptions => ({
  corpus: corpusSpec(path, { projectRoot: "/" }),
  tokenizer: { kind: "train", vocabSize: 400 },
  heldOutFraction: 0.2,
  cacheDir,
});

describe("dataset", () => {
  let dataset: Dataset;
  before(async () => {
    dataset = await prepareDataset(options());
  });
  after(() => {
    dataset.close();
    workspace.remove();
  });

  describe("batches", () => {
    const request = { split: "train", seed: 7, batch: 8, seq: 16 } as const;

    it("rows of separate requests equal rows of one request, independently of earlier requests", () => {
      fc.assert(
        fc.property(
          fc.nat(5000),
          fc.integer({ min: 0, max: 2 ** 40 }),
          fc.integer({ min: 1, max: 9 }),
          fc.integer({ min: 1, max: 40 }),
          (step, seed, batch, seq) => {
            const whole = dataset.batch({ split: "train", seed, step, batch, seq });
            for (let row = 0; row < batch; row++) {
              const one = dataset.batch({ split: "train", seed, step, batch, seq, rows: [row, row + 1] });
              for (const key of ["tokens", "targets", "mask"] as const)
                deepStrictEqual(one[key], whole[key].slice(row * seq, (row + 1) * seq));
            }
          },
        ),
        { numRuns: 40 },
      );
    });

    it("an epoch contains every row once, in an order that differs between epochs and seeds", () => {
      const rows = dataset.rowsPerEpoch("train", 16);
      const first = rowIds(0, 1);
      deepStrictEqual(first.toSorted(), rowsInOrder().toSorted());
      deepStrictEqual(rowIds(1, 1).toSorted(), first.toSorted());
      ok(JSON.stringify(rowIds(1, 1)) !== JSON.stringify(first));
      ok(JSON.stringify(rowIds(0, 2)) !== JSON.stringify(first));

      function rowIds(epoch: number, seed: number): string[] {
        return Array.from({ length: rows }, (_, i) =>
          dataset.batch({ split: "train", seed, step: epoch * rows + i, batch: 1, seq: 16 }).tokens.join(" "),
        );
      }
      function rowsInOrder(): string[] {
        const stream = dataset.tokens("train", 0, dataset.manifest.splits.train.tokens);
        return Array.from({ length: rows }, (_, i) =>
          Int32Array.from({ length: 16 }, (_, t) => stream[i * 16 + t] ?? SpecialToken.pad).join(" "),
        );
      }
    });

    it("no row repeats within an epoch, also if a batch crosses the end of the epoch", () => {
      const rows = dataset.rowsPerEpoch("train", 16);
      const steps = Math.ceil((2 * rows) / 8);
      const seen = Array.from({ length: steps }, (_, step) => dataset.batch({ ...request, step })).flatMap((batch) =>
        Array.from({ length: 8 }, (_, r) => batch.tokens.slice(r * 16, r * 16 + 16).join(" ")),
      );
      strictEqual(new Set(seen.slice(0, rows)).size, rows);
      strictEqual(new Set(seen.slice(rows, 2 * rows)).size, rows);
    });

    it("the target of a token is the next token, and every token except <bos> counts once", () => {
      for (const split of ["train", "heldout"] as const) {
        const stream = dataset.tokens(split, 0, Infinity);
        const counted = all(split).flatMap(({ tokens, targets, mask }) =>
          Array.from(mask, (counts, i) => {
            if (counts === 0) ok(targets[i] === SpecialToken.bos || targets[i] === SpecialToken.pad);
            return { token: tokens[i], target: targets[i], counts };
          }).filter(({ counts }) => counts === 1),
        );
        const pairs = Array.from(stream.slice(1), (target, i) => ({ token: stream[i], target, counts: 1 })).filter(
          ({ target }) => target !== SpecialToken.bos,
        );
        const sorted = (list: typeof counted): string[] => list.map((pair) => JSON.stringify(pair)).toSorted();
        deepStrictEqual(sorted(counted), sorted(pairs));
        strictEqual(counted.length, dataset.manifest.splits[split].targets);
      }
      function all(split: "train" | "heldout"): Batch[] {
        const steps = split === "train" ? dataset.rowsPerEpoch(split, 32) : dataset.heldoutBatches(1, 32);
        return Array.from({ length: steps }, (_, step) => dataset.batch({ split, seed: 3, step, batch: 1, seq: 32 }));
      }
    });

    it("held-out batches are in order for every seed, and the last one is padded", () => {
      const [batch, seq] = [7, 16];
      const steps = dataset.heldoutBatches(batch, seq);
      const tokens = Array.from({ length: steps }, (_, step) => [
        ...dataset.batch({ split: "heldout", seed: step, step, batch, seq }).tokens,
      ]).flat();
      const stream = [...dataset.tokens("heldout", 0, Infinity)];
      deepStrictEqual(tokens.slice(0, stream.length - 1), stream.slice(0, -1));
      ok(tokens.slice(stream.length).every((token) => token === SpecialToken.pad));
      throws(() => dataset.batch({ split: "heldout", seed: 0, step: steps, batch, seq }), /invariant/);
    });

    it("the decoded stream consists of the packed documents", () => {
      const stream = dataset.tokenizer.decode(dataset.tokens("train", 0, Infinity), { special: true });
      const packed = stream.split("<eos>").filter((part) => part !== "");
      ok(packed.every((part) => part.startsWith("<bos>")));
      const book = readFileSync(corpusPath, "utf8");
      ok(packed.every((part) => book.includes(part.slice("<bos>".length))));
    });

    it("the last token of a stream begins no row, because it has no target", () => {
      for (const split of ["train", "heldout"] as const) {
        const { tokens } = dataset.manifest.splits[split];
        deepStrictEqual(
          [tokens - 2, tokens - 1, tokens, tokens + 1].map((seq) => dataset.rowsPerEpoch(split, seq)),
          [2, 1, 1, 1],
        );
        const seq = tokens - 1;
        strictEqual(dataset.heldoutBatches(1, dataset.manifest.splits.heldout.tokens - 1), 1);
        const { mask } = dataset.batch({ split, seed: 1, step: 0, batch: 1, seq });
        strictEqual(mask.at(-1), 1);
      }
    });

    it("all 53 bits of a seed decide the order of the rows", () => {
      const order = (seed: number): string => dataset.batch({ split: "train", seed, step: 0, batch: 16, seq: 16 }).tokens.join();
      strictEqual(new Set([0, 1, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 52].map(order)).size, 6);
    });

    it("a corpus that does not fill one batch is an error before the run", () => {
      dataset.requireBatch({ batch: 8, seq: 16 });
      const rows = dataset.rowsPerEpoch("train", 16);
      dataset.requireBatch({ batch: rows, seq: 16 });
      throws(() => dataset.requireBatch({ batch: rows + 1, seq: 16 }), hasCode("LAP_DATA_TOO_SMALL", "book.txt"));
      throws(() => dataset.requireBatch({ batch: 100_000, seq: 16 }), hasCode("LAP_DATA_TOO_SMALL", "book.txt"));
    });
  });

  describe("preparing", () => {
    it("the counts of the manifest equal the contents of the files", () => {
      const { splits, unigramNats, contentHash, vocabSize } = dataset.manifest;
      strictEqual(splits.train.textBytes + splits.heldout.textBytes, statSync(corpusPath).size);
      for (const split of ["train", "heldout"] as const) strictEqual(splits[split].tokens, splits[split].targets + splits[split].documents);
      ok(unigramNats > 1 && unigramNats < Math.log(vocabSize));
      strictEqual(contentHash.length, 64);
      const lines = readFileSync(join(dataset.directory, "documents.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { split: "train" | "heldout"; start: number });
      strictEqual(lines.length, splits.train.documents + splits.heldout.documents);
      for (const { split, start } of lines) strictEqual(dataset.tokens(split, start, 1)[0], SpecialToken.bos);
    });

    it("a prepared dataset is opened again, and a changed request or file is prepared again", async () => {
      const again = await prepareDataset({ ...options(), onProgress: () => ok(false, "prepared twice") });
      strictEqual(again.directory, dataset.directory);
      again.close();
      const other = await prepareDataset({ ...options(), tokenizer: { kind: "train", vocabSize: 401 } });
      ok(other.directory !== dataset.directory);
      other.close();
      const path = join(workspace.folder({ "changing.txt": prose(2, 100) }), "changing.txt");
      const before = await prepareDataset(options(path));
      utimesSync(path, 1, 1);
      const after = await prepareDataset(options(path));
      ok(after.directory !== before.directory);
      strictEqual(after.manifest.contentHash, before.manifest.contentHash);
      for (const each of [before, after]) each.close();
    });

    it("preparation reports its stages in order", async () => {
      const stages: string[] = [];
      const path = join(workspace.folder({ "p.txt": prose(3, 100) }), "p.txt");
      const prepared = await prepareDataset({
        ...options(path),
        onProgress: ({ stage, done, total }) => (ok(done <= total), stages.at(-1) === stage || stages.push(stage)),
      });
      prepared.close();
      deepStrictEqual(stages, ["read the corpus", "train the tokenizer", "encode"]);
    });

    it("concurrent preparations of one request return the same dataset", async () => {
      const path = join(workspace.folder({ "c.txt": prose(4, 100) }), "c.txt");
      const both = await Promise.all([prepareDataset(options(path)), prepareDataset(options(path))]);
      strictEqual(both[0].directory, both[1].directory);
      for (const each of both) each.close();
    });

    it("no partial files remain after an invalid corpus, an abort, or the death of an earlier process", async () => {
      const cache = workspace.folder();
      const bad = join(workspace.folder({ "bad.txt": Buffer.from([0x61, 0xff]) }), "bad.txt");
      await rejects(prepareDataset({ ...options(bad), cacheDir: cache }), hasCode("LAP_DATA_NOT_UTF8", "byte 1"));
      const empty = join(workspace.folder({ "empty.txt": "" }), "empty.txt");
      await rejects(prepareDataset({ ...options(empty), cacheDir: cache }), hasCode("LAP_DATA_EMPTY"));
      const tiny = join(workspace.folder({ "tiny.txt": "one line" }), "tiny.txt");
      await rejects(prepareDataset({ ...options(tiny), cacheDir: cache }), hasCode("LAP_DATA_TOO_SMALL"));
      const stop = new AbortController();
      await rejects(
        prepareDataset({ ...options(), cacheDir: cache, signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) }),
        /enough/,
      );
      deepStrictEqual(readdirSync(cache), []);
      mkdirSync(join(cache, ".preparing-999999999-x"));
      (await prepareDataset({ ...options(), cacheDir: cache })).close();
      strictEqual(readdirSync(cache).length, 1);
    });

    it("the partial files of another machine or container are removed only after a day", async () => {
      const cache = workspace.folder();
      const foreign = ".preparing-999999999-0123456789ab-x";
      mkdirSync(join(cache, foreign));
      (await prepareDataset({ ...options(), cacheDir: cache })).close();
      ok(readdirSync(cache).includes(foreign));
      utimesSync(join(cache, foreign), 1000, 1000);
      (await prepareDataset({ ...options(), heldOutFraction: 0.3, cacheDir: cache })).close();
      ok(!readdirSync(cache).includes(foreign));
    });

    it("a damaged dataset cannot be opened and is prepared again", async () => {
      const cache = workspace.folder();
      const first = await prepareDataset({ ...options(), cacheDir: cache });
      first.close();
      const damage: (() => void)[] = [
        () => truncateSync(join(first.directory, "train.bin"), 100),
        () => truncateSync(join(first.directory, "heldout.bin"), 0),
        () => writeFileSync(join(first.directory, "dataset.json"), "{"),
        () => writeFileSync(join(first.directory, "dataset.json"), '{"format":"lapidary-dataset"}'),
      ];
      for (const harm of damage) {
        harm();
        throws(() => openCorpus(first.directory), hasCode("LAP_DATA_DATASET"));
        (await prepareDataset({ ...options(), cacheDir: cache })).close();
        openCorpus(first.directory).close();
      }
      throws(() => openCorpus(join(cache, "absent")), hasCode("LAP_DATA_DATASET", "absent"));
    });

    describe("with a given tokenizer", () => {
      /** A tokenizer of letters, with control tokens named by other files of the checkpoint. */
      const tokenizer = (post_processor: unknown, names: object, letters = "abcdefghijklmnopqrstuvwxyz. "): string => {
        const vocab = Object.fromEntries(["<e>", "<b>", "<u>", ...letters].map((token, id) => [token, id]));
        const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
        const added_tokens = ["<e>", "<b>", "<u>"].map((content, id) => ({ id, content, ...special }));
        const file = {
          version: "1.0",
          added_tokens,
          post_processor,
          decoder: { type: "Fuse" },
          model: { type: "BPE", unk_token: "<u>", vocab, merges: [] },
        };
        return workspace.folder({ "tokenizer.json": JSON.stringify(file), "tokenizer_config.json": JSON.stringify(names) });
      };
      const prepared = (path: string): Promise<Dataset> => prepareDataset({ ...options(), tokenizer: { kind: "given", path } });
      const both = { bos_token: "<b>", eos_token: "<e>" };

      it("the dataset is encoded with the given tokenizer and contains its files", async () => {
        const dataset = await prepared(tokenizer(null, both));
        const { documents, tokens } = dataset.manifest.splits.train;
        const stream = [...dataset.tokens("train", 0, tokens)];
        strictEqual(stream[0], 1);
        strictEqual(stream.at(-1), 0);
        strictEqual(stream.filter((token) => token === 1).length, documents);
        const first = stream.slice(1, stream.indexOf(0));
        deepStrictEqual(dataset.tokenizer.encode(dataset.tokenizer.decode(first, { special: true })), first);
        deepStrictEqual([...dataset.tokenizerFiles.keys()], ["tokenizer.json", "tokenizer_config.json"]);
        dataset.close();
      });

      it("two tokenizers, or one with and without <bos>, have separate datasets", async () => {
        const paths = [
          tokenizer(null, both),
          tokenizer(null, both, "zyxwvutsrqponmlkjihgfedcba. "),
          tokenizer(null, { ...both, add_bos_token: false }),
        ];
        const directories = new Set<string>();
        for (const path of paths) {
          const dataset = await prepared(path);
          directories.add(dataset.directory);
          dataset.close();
        }
        strictEqual(directories.size, 3);
      });

      it("every token is a target if texts have no <bos>, or if one token begins and ends texts", async () => {
        for (const [names, separators] of [
          [{ eos_token: "<e>" }, 1],
          [{ bos_token: "<e>", eos_token: "<e>", add_bos_token: true }, 1],
          [both, 2],
        ] as const) {
          const dataset = await prepared(tokenizer(null, names));
          const { documents, tokens, targets } = dataset.manifest.splits.train;
          const stream = [...dataset.tokens("train", 0, tokens)];
          strictEqual(stream.filter((token) => token < 2).length, documents * separators);
          const { mask } = dataset.batch({ split: "train", seed: 1, step: 0, batch: 1, seq: tokens - 1 });
          const counted = mask.reduce((sum, m) => sum + m, 0);
          // The first token of the stream is not a target.
          strictEqual(counted, separators === 2 ? tokens - documents : tokens - 1);
          ok(targets >= counted);
          dataset.close();
        }
      });
    });

    it("invalid settings are errors before the corpus is read", async () => {
      for (const vocabSize of [0, 259, 1e9, Number.NaN])
        await rejects(
          prepareDataset({ ...options("/absent"), tokenizer: { kind: "train", vocabSize } }),
          hasCode("LAP_DATA_SETTING", "data.vocab"),
        );
      for (const heldOutFraction of [0, -1, 0.6, Number.NaN])
        await rejects(prepareDataset({ ...options("/absent"), heldOutFraction }), hasCode("LAP_DATA_SETTING", "data.held_out"));
      await rejects(prepareDataset(options("/absent/file.txt")), hasCode("LAP_DATA_MISSING", "/absent/file.txt"));
    });

    it("the key of a corpus of installed packages depends on their lock file", async () => {
      const files = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`node_modules/p${i}/README.md`, prose(50 + i, 12)]));
      const project = workspace.folder({ ...files, "package-lock.json": "{}" });
      const request = { ...options(), corpus: corpusSpec("node_modules", { projectRoot: project }) };
      const [first, again] = [await prepareDataset(request), await prepareDataset(request)];
      strictEqual(first.directory, again.directory);
      writeFileSync(join(project, "package-lock.json"), "{ }");
      const changed = await prepareDataset(request);
      ok(changed.directory !== first.directory);
      strictEqual(changed.manifest.contentHash, first.manifest.contentHash);
      for (const each of [first, again, changed]) each.close();
    });
  });
});

describe("permutation", () => {
  it("the permutation is a bijection for every size and key", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 0, max: 0xffffffff }), (size, key) => {
        strictEqual(new Set(Array.from({ length: size }, (_, i) => permute(i, size, key))).size, size);
      }),
    );
  });

  it("the permutation separates most neighbours", () => {
    const places = Array.from({ length: 1000 }, (_, i) => permute(i, 1000, 5));
    const near = places.filter((place, i) => Math.abs(place - (places[i + 1] ?? place + 999)) < 10);
    ok(near.length < 50, String(near.length));
  });
});

describe("token files", () => {
  const files = new Workspace();
  after(() => files.remove());

  it("a token file of two or four bytes a token returns any segment", () => {
    for (const vocabSize of [65_536, 65_537]) {
      const bytes = bytesPerToken(vocabSize);
      strictEqual(bytes, vocabSize === 65_536 ? 2 : 4);
      const path = join(files.folder(), "t.bin");
      const writer = new TokenWriter(path, bytes);
      for (let i = 0; i < 300_000; i++) writer.push(i % vocabSize);
      strictEqual(writer.length, 300_000);
      writer.close();
      const reader = new TokenReader(path, 300_000, bytes);
      deepStrictEqual([...reader.read(299_998, 9)], [299_998 % vocabSize, 299_999 % vocabSize]);
      deepStrictEqual([...reader.read(262_143, 2)], [262_143 % vocabSize, 262_144 % vocabSize]);
      strictEqual(reader.read(400_000, 2).length, 0);
      reader.close();
    }
  });
});

describe("unigram model", () => {
  it("the loss of the unigram model is the cross entropy of add-one smoothed counts", () => {
    const [trained, heldout] = [new TokenCounts(4), new TokenCounts(4)];
    for (const token of [0, 0, 0, 1]) trained.add(token);
    for (const token of [0, 3]) heldout.add(token);
    ok(Math.abs(heldout.crossEntropyUnder(trained) + (Math.log(4 / 8) + Math.log(1 / 8)) / 2) < 1e-12);
  });
});
