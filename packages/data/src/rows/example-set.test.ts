import { deepStrictEqual, notDeepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { filesOfTrained, trainTokenizer } from "@lapidary/tokenizer";
import { Workspace } from "@lapidary/tokenizer/testing";
import { ExampleSet, type ExampleSetRequest } from "./example-set.js";
import { readPairs, readPrompts } from "./read-example-set.js";

const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const tokenizer = trainTokenizer(["user model What is 3 and 4? It is 7. What is It is"], { vocabSize: 300 });
const folder = new Workspace().folder({
  "prompts.jsonl": lines([..."abcdefgh"].map((prompt, row) => ({ prompt, answer: row }))),
  "long.jsonl": lines([{ prompt: "x" }, { prompt: "a prompt of more tokens than a row has, because it is very, very long" }]),
  "pairs.jsonl": lines([..."abcde"].map((prompt) => ({ prompt, chosen: "yes", rejected: "no", margin: 2 }))),
  ...Object.fromEntries([...filesOfTrained(tokenizer)].map(([name, content]) => [name, Buffer.from(content).toString("utf8")])),
});
const request = (name: string, change: Partial<ExampleSetRequest> = {}): ExampleSetRequest => ({
  train: [{ path: join(folder, name) }],
  evaluation: [{ path: join(folder, name) }],
  heldOutFraction: 0.1,
  filters: [],
  pack: false,
  seq: 40,
  tokenizer: folder,
  rowsPerExample: 2,
  chanceLoss: 1,
  ...change,
});
const files = ["prompts.jsonl", "long.jsonl"].map((name, at) => ({ path: join(folder, name), ...(at === 1 ? { share: 0.5 } : {}) }));

describe("sets of examples", () => {
  const texts = async (steps: readonly number[], seed = 1): Promise<string[]> => {
    const set = await readPrompts(request("prompts.jsonl", { train: files }));
    return steps.flatMap((step) => set.train(seed, step, 4).map(({ text }) => text));
  };

  it("the prompts of a step are a function of the seed and the step", async () => {
    deepStrictEqual(await texts([3]), (await texts([0, 1, 2, 3])).slice(12));
    notDeepStrictEqual(await texts([0, 1]), await texts([0, 1], 2));
  });

  it("an epoch has each prompt of a file without a share, and the share of the other file", async () => {
    deepStrictEqual((await texts([0, 1, 2, 3])).sort().join(""), "abcdefghxxxxxxxx");
  });

  it("a prompt has the columns of its row, and a prompt that is too long is refused", async () => {
    const set = await readPrompts(request("prompts.jsonl", { train: files }));
    deepStrictEqual(set.manifest.refused.byCode, { LAP_EXAMPLE_TOO_LONG: 1 });
    for (const { text, columns } of set.train(1, 0, 8)) strictEqual(columns["answer"], text === "x" ? undefined : "abcdefgh".indexOf(text));
  });

  it("held-out batches cover the pairs once, and the last batch repeats pairs that do not count", async () => {
    const set = await readPairs(request("pairs.jsonl"));
    strictEqual(set instanceof ExampleSet && set.kind, "pairs");
    strictEqual(set.heldoutBatches(4), 3);
    deepStrictEqual(
      [0, 1, 2].map((batch) => set.heldoutBatch(batch, 2)).map(({ own, examples }) => [own, examples.length]),
      [
        [2, 2],
        [2, 2],
        [1, 2],
      ],
    );
    throws(() => set.heldoutBatch(3, 2));
    deepStrictEqual([set.manifest.unigramNats, set.manifest.splits.train.documents], [1, 5]);
  });

  it("a file without a pair is an error that names it", async () => {
    await rejects(readPairs(request("prompts.jsonl")), { code: "LAP_EXAMPLE_NONE", location: /prompts\.jsonl/ });
  });

  it("the event loop of the caller goes on while a thread reads the examples, and a signal ends the thread", async () => {
    let turns = 0;
    const turn = (): void => {
      turns++;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    const read = readPrompts(request("prompts.jsonl"));
    strictEqual(turns, 0);
    await read.finally(() => clearImmediate(next));
    // The thread starts, reads and sends its message in turns of its own event loop. The caller has many turns until then.
    ok(turns > 1, String(turns));
    const stop = new AbortController();
    const stopped = readPrompts(request("prompts.jsonl"), stop.signal);
    stop.abort(new Error("cancelled"));
    await rejects(stopped, { message: "cancelled" });
  });
});
