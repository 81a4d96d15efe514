import { deepStrictEqual, equal, notEqual, ok, rejects } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DocumentTable, readPublished } from "@lapidary/mixture";
import { ensure, LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import type { Batch } from "../dataset/dataset.js";
import { openDataset } from "../dataset/open-dataset.js";
import { prepareMixture } from "../dataset/prepare.js";
import { publishSources, threeSources } from "../testing/published-sources.js";
import { buildMixture } from "./build-mixture.js";
import { MixtureDataset } from "./mixture-dataset.js";
import type { MixtureRequest } from "./mixture-request.js";

const [batch, seq] = [6, 16];
const code = (expected: string) => (error: unknown) => error instanceof LapidaryError && error.code === expected;

describe("the rows of a mixture", () => {
  let scratch = "";
  let pipeline = "";
  const request = (changes: Partial<MixtureRequest> = {}): MixtureRequest => ({
    pipeline,
    stages: [
      { from: 0, weights: { web: 0.7, code: 0.2, maths: 0.1 } },
      { from: 20, ramp: 10, weights: { web: 0.3, code: 0.3, maths: 0.4 } },
    ],
    seed: 7,
    steps: 60,
    batch,
    seq,
    repeat: 9,
    heldOutFraction: 0.2,
    ...changes,
  });
  /** As `prepareMixture`, without a thread. */
  const prepare = async (changes: Partial<MixtureRequest> = {}): Promise<MixtureDataset> => {
    const directory = mkdtempSync(join(scratch, "dataset-"));
    await buildMixture(request(changes), "key", directory, () => undefined);
    return new MixtureDataset(directory);
  };
  const rowsOf = (dataset: MixtureDataset, step: number, rows?: readonly [number, number]): Batch =>
    dataset.batch({ split: "train", seed: 0, step, batch, seq, ...(rows === undefined ? {} : { rows }) });

  before(() => {
    scratch = mkdtempSync(join(tmpdir(), "lapidary-mixture-"));
    pipeline = join(scratch, "data");
    publishSources(pipeline, threeSources(120));
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it("rows of any partition of a batch, in any order of steps, equal those of whole batches in order", async () => {
    const dataset = await prepareMixture(request(), { cacheDir: join(scratch, "cache") });
    const whole = Array.from({ length: 60 }, (_, step) => rowsOf(dataset, step));
    dataset.close();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 59 }), fc.nat({ max: 5 })), { minLength: 1, maxLength: 9 }), (asked) => {
        const other = openDataset(dataset.directory);
        ok(other instanceof MixtureDataset);
        for (const [step, row] of asked) {
          const { tokens, targets, mask } = rowsOf(other, step, [row, row + 1]);
          const expected = ensure(whole[step], "step");
          const of = (array: Int32Array | Float32Array): readonly number[] => [...array.subarray(row * seq, (row + 1) * seq)];
          deepStrictEqual([[...tokens], [...targets], [...mask]], [of(expected.tokens), of(expected.targets), of(expected.mask)]);
        }
        other.close();
      }),
      { numRuns: 20 },
    );
  });

  it("an epoch of a source has every training token once, and no token of a held-out document", async () => {
    const dataset = await prepare({ stages: [{ from: 0, weights: { code: 1 } }], steps: 40 });
    const { sources } = readPublished(pipeline);
    const shards = ensure(sources["code"], "code").shards;
    const train: number[][] = [];
    let heldout = 0;
    for (const shard of shards) {
      const table = new DocumentTable(join(pipeline, shard.documents), shard.document_count);
      const ids = new Uint16Array(new Uint8Array(readFileSync(join(pipeline, shard.tokens))).buffer);
      let at = 0;
      for (const { id, tokens } of table.from()) {
        if (Number.parseInt(id.slice(0, 8), 16) / 2 ** 32 < 0.2) heldout++;
        else train.push([...ids.subarray(at, at + tokens)]);
        at += tokens;
      }
      table.close();
    }
    ok(heldout > 0 && heldout === dataset.manifest.sources.find(({ name }) => name === "code")?.heldout.documents);
    const stream = train.flat();
    const rows = Math.ceil((stream.length - 1) / seq);
    const seen = Array.from({ length: rows }, (_, n) => {
      const { index, epoch } = dataset.row(Math.floor(n / batch), n % batch);
      return { index, epoch, part: rowsOf(dataset, Math.floor(n / batch), [n % batch, (n % batch) + 1]) };
    });
    // The order of rows within a step is a permutation of its own, so the last step of the epoch may have rows of the next.
    const first = new Map(seen.flatMap(({ index, epoch, part }) => (epoch === 0 ? [[index, part] as const] : [])));
    for (const [index, { tokens, targets, mask }] of first) {
      const expected = stream.slice(index * seq, index * seq + seq + 1);
      const counted = [...targets].filter((_, i) => mask[i] === 1);
      deepStrictEqual([...tokens].slice(0, expected.length), expected.slice(0, seq));
      deepStrictEqual(
        counted,
        expected.slice(1).filter((token) => token !== dataset.manifest.control.bos),
      );
    }
    ok(first.size > rows - batch);
    dataset.close();
  });

  it("every document is between <bos> and <eos>, as in a corpus, and all other tokens are targets", async () => {
    const dataset = await prepare();
    const { bos, eos } = dataset.manifest.control;
    for (const split of ["train", "heldout"] as const) {
      let [documents, targets] = [0, 0];
      for (const [at, source] of dataset.manifest.sources.entries()) {
        const ids = [...dataset.tokensOf(at, split).read(0, source[split].tokens)];
        for (const [i, id] of ids.entries()) equal(id === bos, i === 0 || ids[i - 1] === eos);
        documents += ids.filter((id) => id === bos).length;
        targets += ids.filter((id) => id !== bos).length;
      }
      deepStrictEqual([dataset.manifest.splits[split].documents, dataset.manifest.splits[split].targets], [documents, targets]);
    }
    dataset.close();
  });

  it("held-out batches have rows of one source, and all held-out tokens once", async () => {
    const dataset = await prepare();
    const sources = dataset.heldoutSources(100, batch, seq);
    deepStrictEqual(
      sources.map(({ name }) => name),
      ["web", "code", "maths"],
    );
    for (const [at, { steps }] of sources.entries()) {
      const batches = steps.map((step) => dataset.batch({ split: "heldout", seed: 0, step, batch, seq }));
      const targets = batches.flatMap((each) => [...each.targets].filter((_, i) => each.mask[i] === 1));
      const stream = dataset.tokensOf(at, "heldout");
      deepStrictEqual(
        targets,
        [...stream.read(1, stream.length)].filter((token) => token !== dataset.manifest.control.bos),
      );
    }
    const shares = sources.reduce((sum, { share }) => sum + share, 0);
    ok(Math.abs(shares - 1) < 1e-9);
    dataset.close();
  });

  it("the digest of steps changes with the weights of these steps, not with those of later steps", async () => {
    const of = async (stages: NonNullable<MixtureRequest["stages"]>, changes: Partial<MixtureRequest> = {}): Promise<string[]> => {
      const dataset = await prepare({ stages, ...changes });
      const digests = [20, 40].map((steps) => dataset.digest(steps));
      dataset.close();
      return digests;
    };
    const [first, second] = [
      { from: 0, weights: { web: 8, code: 2 } },
      { from: 30, weights: { web: 1, code: 1 } },
    ];
    const before = await of([first, second]);
    const scaled = await of([
      { from: 0, weights: { web: 0.8, code: 0.2 } },
      { from: 30, weights: { code: 1, maths: 1 } },
    ]);
    equal(scaled[0], before[0]);
    notEqual(scaled[1], before[1]);
    notEqual((await of([{ from: 0, weights: { web: 7, code: 2 } }, second]))[0], before[0]);
    notEqual((await of([first, second], { seed: 8 }))[0], before[0]);
  });

  it("a source that runs out is an error before the run, with the number of passes that suffices", async () => {
    let remedy = "";
    await rejects(prepare({ repeat: 1 }), (error) => {
      ok(error instanceof LapidaryError && error.code === "LAP_MIXTURE_EXHAUSTED");
      ({ remedy } = error);
      return true;
    });
    const [, source = "", passes] = /data\.repeat: \{ (\w+): (\d+) \}/.exec(remedy) ?? [];
    const others = { web: 9, code: 9, maths: 9 };
    await rejects(prepare({ repeat: { ...others, [source]: Number(passes) - 1 } }), code("LAP_MIXTURE_EXHAUSTED"));
    (await prepare({ repeat: { ...others, [source]: Number(passes) } })).close();
  });

  it("a source without held-out documents, an unknown source and a damaged shard are errors before the run", async () => {
    await rejects(prepare({ heldOutFraction: 1e-9 }), code("LAP_DATA_TOO_SMALL"));
    await rejects(prepare({ stages: [{ from: 0, weights: { books: 1 } }] }), code("LAP_MIXTURE_STAGES"));
    const path = join(pipeline, "objects/web-1/part-0");
    const bytes = readFileSync(path);
    writeFileSync(
      path,
      bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
    );
    await rejects(prepare({ seed: 99 }), code("LAP_DATA_DATASET"));
    writeFileSync(path, bytes);
  });
});
