import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openChecker, parseChecker } from "@lapidary/evaluation";
import { comparisonOf } from "@lapidary/api/comparison";
import { ensure, jsonText, LapidaryError } from "@lapidary/std";
import { collectingReporter } from "./testing/collecting-reporter.js";
import { type FakeModel, fakeAnswerModel } from "./testing/fake-answer-model.js";
import { type ComparedModels, compareModels, type ComparisonRequest } from "./compare-models.js";
import type { SetReport } from "@lapidary/api";
import { defaultTemplate } from "./judge-template.js";
import { readVotes } from "./verdict-file.js";

const sorted = (text: string): string => [...text].sort().join("");
const reversed = (text: string): string => [...text].reverse().join("");

/** The two answers in a question that the default template renders. */
function answersIn(question: string): readonly [string, string] {
  const match = /Answer A:\n(.*)\n\nAnswer B:\n(.*)\n\nWhich/s.exec(question);
  return [match?.[1] ?? "", match?.[2] ?? ""];
}

describe("compareModels", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-compare-models-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const file = (name: string, rows: readonly object[]): string => {
    const path = join(directory, name);
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
    return path;
  };
  /** Prompts of three digits; none is sorted or the same from both ends. */
  const digits = (count: number): readonly object[] =>
    Array.from({ length: count }, (_, i) => ({ prompt: `${9 - (i % 3)}${i % 5}${5 + (i % 4)}`, subset: i % 2 === 0 ? "even" : "odd" }));
  const candidate = (): FakeModel => fakeAnswerModel({ name: "candidate", answer: sorted });
  const baseline = (): FakeModel => fakeAnswerModel({ name: "baseline", answer: reversed });

  async function run(
    request: Partial<ComparisonRequest>,
  ): Promise<ComparedModels & { readonly set: SetReport; readonly codes: readonly string[] }> {
    const { reporter, warnings } = collectingReporter();
    const compared = await compareModels(
      {
        candidate: candidate(),
        baseline: baseline(),
        data: [],
        rows: undefined,
        source: { kind: "none" },
        maxTokens: 16,
        temperature: 0,
        seed: 0,
        ...request,
      },
      { signal: new AbortController().signal, reporter },
    );
    return { ...compared, set: ensure(compared.report.sets[0], "set"), codes: warnings };
  }

  it("a checker counts wins, ties and losses by subset, and the mean scores", async () => {
    const data = [file("checked.jsonl", [...digits(20), { prompt: "11", subset: "even" }])];
    const checker = await openChecker(parseChecker("sorted", "--checker"), directory, "--checker");
    const { set, codes, rows, report } = await run({ data, source: { kind: "checker", name: "sorted", checker } });
    const result = ensure(set.result, "result");
    deepStrictEqual([result.wins, result.ties, result.losses, set.prompts], [20, 1, 0, 21]);
    deepStrictEqual(Object.keys(set.result_by_subset), ["even", "odd"]);
    deepStrictEqual([set.result_by_subset["even"]?.n, set.result_by_subset["odd"]?.n], [11, 10]);
    deepStrictEqual(result.scores, { candidate: 1, baseline: 1 / 21 });
    deepStrictEqual([result.contradictions, result.first_share, result.mean_mass], [null, null, null]);
    deepStrictEqual([result.equal_answers, codes], [1, []]);
    deepStrictEqual(report.source, { kind: "checker", checker: "sorted" });
    strictEqual(rows.length, 21);
    // The dashboard reads the report by this schema.
    deepStrictEqual(
      comparisonOf(JSON.parse(jsonText(report)))?.sets[0]?.result_by_subset["odd"]?.wilson95,
      set.result_by_subset["odd"]?.wilson95,
    );
    deepStrictEqual(
      set.samples.map(({ outcome }) => outcome),
      ["win", "tie"],
    );
  });

  it("a reward model decides by the scores of ended answers", async () => {
    const rows: string[] = [];
    const model = {
      name: "rm",
      end: (ids: readonly number[]) => [...ids, 10],
      start: async () => ({
        scores: async (asked: readonly (readonly number[])[]) =>
          asked.map((ids) => {
            rows.push(String.fromCharCode(...ids));
            return rows.at(-1)?.endsWith(`${sorted(rows.at(-1)?.slice(0, 3) ?? "")}\n`) === true ? 2 : -1;
          }),
        close: async () => undefined,
      }),
    };
    const { set, report } = await run({ data: [file("rewarded.jsonl", digits(3))], source: { kind: "reward", model } });
    deepStrictEqual(rows.slice(0, 2), ["905509\n".replace("509", "059"), "905509\n"]);
    deepStrictEqual(
      [set.result?.wins, set.result?.scores, report.source],
      [3, { candidate: 2, baseline: -1 }, { kind: "reward", reward: "rm" }],
    );
  });

  it("samples of temperature 1 have the divergence of the candidate, and the optimum of the baseline's probabilities", async () => {
    const rows = digits(4).map((row) => ({ ...row, completion: "12" }));
    const data = [file("measured.jsonl", rows)];
    const models = {
      candidate: fakeAnswerModel({ name: "candidate", answer: sorted, nats: 0.25 }),
      baseline: fakeAnswerModel({ name: "baseline", answer: reversed, nats: 0.5 }),
    };
    const { set } = await run({ data, ...models, temperature: 1, beta: 0.5 });
    // Three characters an answer: 3 · (0.5 − 0.25) nats.
    deepStrictEqual(set.divergence, { nats_per_answer: 0.75, standard_error: 0 });
    const p = Math.exp(-2 * 0.5);
    const best = (p * Math.exp(2)) / (p * Math.exp(2) + 1 - p);
    ok(Math.abs((set.optimum?.baseline_probability ?? 0) - p) < 1e-12 && Math.abs((set.optimum?.accuracy ?? 0) - best) < 1e-12);
    strictEqual((await run({ data, ...models, temperature: 0.5 })).set.divergence, null);
    const other = fakeAnswerModel({ name: "baseline", answer: reversed, vocabulary: "other" });
    strictEqual((await run({ data, ...models, baseline: other, temperature: 1 })).set.divergence, null);
  });

  it("a judge that reads the answers decides, and a swap of the answers does not change its verdict", async () => {
    const judge = fakeAnswerModel({
      name: "judge",
      vocabulary: "other",
      judge: (question) => (answersIn(question)[0] === sorted(answersIn(question)[0]) ? [5, 0, 1] : [0, 5, 1]),
    });
    const source = { kind: "judge", model: judge, template: defaultTemplate, orders: "both" } as const;
    const { set, codes, rows } = await run({ data: [file("judged.jsonl", digits(12))], source });
    const result = ensure(set.result, "result");
    deepStrictEqual([result.wins, result.contradictions, result.contradiction_share, result.first_share], [12, 0, 0, 0.5]);
    ok((result.mean_mass ?? 0) > 0.99);
    deepStrictEqual(codes, []);
    deepStrictEqual(judge.calls, ["start", "judge", "close"]);
    const [row] = rows as readonly { readonly judged: readonly { readonly order: string; readonly verdict: string }[] }[];
    deepStrictEqual(
      row?.judged.map(({ order, verdict }) => [order, verdict]),
      [
        ["candidate-first", "first"],
        ["baseline-first", "second"],
      ],
    );
  });

  it("a judge that always prefers the first position gives ties and two warnings", async () => {
    const judge = fakeAnswerModel({ name: "judge", judge: () => [1, 0, 0] });
    const source = { kind: "judge", model: judge, template: defaultTemplate, orders: "both" } as const;
    const { set, codes } = await run({ data: [file("biased.jsonl", digits(12))], source });
    deepStrictEqual([set.result?.ties, set.result?.contradiction_share, set.result?.first_share], [12, 1, 1]);
    deepStrictEqual(codes, ["LAP_JUDGE_FAMILY", "LAP_JUDGE_CONTRADICTS"]);
  });

  it("a judge that prefers length or ignores its template gives warnings", async () => {
    const longer = fakeAnswerModel({ name: "candidate", answer: (prompt) => `${prompt} and more` });
    const judge = fakeAnswerModel({
      name: "judge",
      vocabulary: "other",
      judge: (question) => (answersIn(question)[0].length > answersIn(question)[1].length ? [-19, -20, -20] : [-20, -19, -20]),
    });
    const source = { kind: "judge", model: judge, template: defaultTemplate, orders: "both" } as const;
    const { codes, set } = await run({ candidate: longer, data: [file("long.jsonl", digits(12))], source });
    deepStrictEqual([set.result?.longer_share, codes], [1, ["LAP_JUDGE_LENGTH", "LAP_JUDGE_MASS"]]);
  });

  it("equal answers are a tie that the judge is not asked about", async () => {
    const judge = fakeAnswerModel({ name: "judge", vocabulary: "other", judge: () => [1, 0, 0] });
    const source = { kind: "judge", model: judge, template: defaultTemplate, orders: "shuffled" } as const;
    const { set } = await run({ candidate: baseline(), data: [file("equal.jsonl", digits(6))], source });
    deepStrictEqual([set.result?.ties, set.result?.equal_answers, set.result?.first_share, set.result?.contradictions], [6, 6, null, null]);
  });

  it("a question that is longer than the context of the judge has no verdict", async () => {
    const judge = fakeAnswerModel({ name: "judge", vocabulary: "other", context: 40, judge: () => [1, 0, 0] });
    const source = { kind: "judge", model: judge, template: defaultTemplate, orders: "both" } as const;
    const { set, codes } = await run({ data: [file("too-long.jsonl", digits(3))], source });
    deepStrictEqual([set.result, set.unjudged, codes], [null, 3, ["LAP_COMPARE_UNJUDGED"]]);
  });

  it("votes decide by majority, and a vote about other answers or prompts is refused", async () => {
    const data = [file("voted.jsonl", digits(4))];
    const votes = (rows: readonly object[]): ComparisonRequest["source"] => ({
      kind: "verdicts",
      votes: readVotes(file("votes.jsonl", rows)),
    });
    const { rows } = await run({ data });
    const [first] = rows as readonly { readonly answers: string; readonly order: string }[];
    const ballots = [
      { id: "voted.jsonl:1", verdict: "candidate", answers: first?.answers },
      { id: "voted.jsonl:1", verdict: "candidate" },
      { id: "voted.jsonl:1", verdict: "baseline" },
      { id: "voted.jsonl:2", verdict: "tie" },
      { id: "voted.jsonl:3", verdict: "first", order: "baseline-first" },
    ];
    const { set, codes } = await run({ data, source: votes(ballots) });
    deepStrictEqual([set.result?.wins, set.result?.ties, set.result?.losses, set.unjudged], [1, 1, 1, 1]);
    deepStrictEqual(codes, ["LAP_COMPARE_UNJUDGED"]);
    const isBadRow = (error: unknown): boolean => error instanceof LapidaryError && error.code === "LAP_VERDICT_ROW";
    await rejects(run({ data, source: votes([{ id: "voted.jsonl:1", verdict: "tie", answers: "other" }]) }), isBadRow);
    await rejects(run({ data, source: votes([{ id: "voted.jsonl:9", verdict: "tie" }]) }), isBadRow);
  });

  it("each file has a report with the losses of both models, and texts have losses only", async () => {
    const better = fakeAnswerModel({ name: "candidate", answer: sorted, nats: 0.5 });
    const data = [
      file("domain.jsonl", [
        { prompt: "1+1", completion: "2", subset: "sums" },
        { prompt: "2+2", completion: "four" },
      ]),
      file("general.jsonl", [{ text: "once" }]),
    ];
    const { report } = await run({ candidate: better, data });
    const [domain, general] = report.sets;
    deepStrictEqual(domain?.loss, { candidate: 0.5, baseline: 1, candidate_tokens: 5, baseline_tokens: 5 });
    deepStrictEqual(domain.loss_by_subset, { sums: { candidate: 0.5, baseline: 1, candidate_tokens: 1, baseline_tokens: 1 } });
    deepStrictEqual([domain.prompts, general?.prompts, general?.result, general?.answers], [2, 0, null, null]);
    strictEqual(general?.loss?.candidate_tokens, 4);
  });

  it("a prompt has the same seed and the same order for every number of rows", async () => {
    const seeds = new Map<string, Set<number>>();
    const remembering = (name: string): FakeModel =>
      fakeAnswerModel({
        name,
        answer: (prompt, seed) => {
          seeds.set(prompt, (seeds.get(prompt) ?? new Set()).add(seed));
          return prompt;
        },
      });
    const data = [file("seeds.jsonl", [{ prompt: "a" }, { prompt: "b" }, { prompt: "c" }])];
    const few = await run({ candidate: remembering("a"), baseline: remembering("b"), data, rows: 2 });
    const all = await run({ candidate: remembering("a"), baseline: remembering("b"), data });
    deepStrictEqual(
      [...seeds.values()].map(({ size }) => size),
      [1, 1, 1],
    );
    deepStrictEqual([few.set.prompts, few.rows], [2, all.rows.slice(0, 2)]);
    await run({ candidate: remembering("a"), baseline: remembering("b"), data, seed: 1 });
    notStrictEqual(seeds.get("a")?.size, 1);
  });

  it("a row that one model cannot use is refused for both, with a warning", async () => {
    const short = fakeAnswerModel({ name: "baseline", answer: reversed, context: 10 });
    const data = [file("refused.jsonl", [{ prompt: "short" }, { prompt: "much too long for it" }, { question: "which key?" }])];
    const { set, codes } = await run({ baseline: short, data });
    deepStrictEqual([set.prompts, set.refused.map(({ row }) => row), codes], [1, [2, 3], ["LAP_COMPARE_REFUSED"]]);
    const isNone = (error: unknown): boolean => error instanceof LapidaryError && error.code === "LAP_COMPARE_NONE";
    await rejects(run({ baseline: fakeAnswerModel({ name: "b", context: 2 }), data }), isNone);
  });

  it("two prompts with one id are refused before a model starts", async () => {
    const model = candidate();
    const data = [
      file("ids.jsonl", [
        { prompt: "a", id: 1 },
        { prompt: "b", id: "1" },
      ]),
    ];
    await rejects(run({ candidate: model, data }), (error) => error instanceof LapidaryError && error.code === "LAP_COMPARE_ID");
    deepStrictEqual(model.calls, []);
  });

  it("different vocabularies give a warning about losses, and a failure closes the model", async () => {
    const data = [file("loss.jsonl", [{ text: "once" }])];
    const { codes } = await run({ baseline: fakeAnswerModel({ name: "baseline", vocabulary: "other" }), data });
    deepStrictEqual(codes, ["LAP_COMPARE_VOCABULARY"]);
    const failing = fakeAnswerModel({
      name: "candidate",
      answer: () => {
        throw new Error("no workers");
      },
    });
    await rejects(run({ candidate: failing, data: [file("fails.jsonl", digits(1))] }), /no workers/);
    deepStrictEqual(failing.calls, ["start", "answers", "close"]);
  });
});
