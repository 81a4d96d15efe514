import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home, root } from "./support/cli.js";
import { hubTokenizerFiles } from "@lapidary/data/testing/hub-tokenizer";

const golden = join(root, "e2e/golden/post/mqa");

interface Result {
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  readonly n: number;
  readonly rate: number;
  readonly contradictions: number | null;
  readonly mean_mass: number | null;
  readonly scores: { readonly candidate: number; readonly baseline: number } | null;
}

interface Comparison {
  readonly baseline: { readonly form: string };
  readonly sets: readonly {
    readonly data: string;
    readonly prompts: number;
    readonly unjudged: number;
    readonly refused: readonly { readonly code: string }[];
    readonly result: Result | null;
    readonly result_by_subset: Readonly<Record<string, Result>>;
    readonly loss: { readonly candidate: number; readonly baseline: number; readonly candidate_tokens: number } | null;
  }[];
  readonly warnings: readonly { readonly code: string }[];
}

interface Row {
  readonly id: string;
  readonly candidate: { readonly text: string; readonly tokens: number };
  readonly baseline: { readonly text: string };
  readonly answers: string;
  readonly outcome: string | null;
  readonly judged: readonly { readonly probabilities: Readonly<Record<string, number>> }[] | null;
}

describe("lapidary compare", function () {
  this.timeout(300_000);
  let home: Home;
  before(() => {
    home = new Home();
    // The policy and the reference of the golden runs of TRL: one model before and after some updates.
    for (const [name, weights] of [
      ["policy", "model.safetensors"],
      ["reference", "reference.safetensors"],
    ] as const) {
      mkdirSync(path(name));
      copyFileSync(join(golden, "config.json"), join(path(name), "config.json"));
      copyFileSync(join(golden, weights), join(path(name), "model.safetensors"));
      for (const [file, content] of Object.entries(hubTokenizerFiles)) writeFileSync(join(path(name), file), content);
    }
    lines(
      "held.jsonl",
      Array.from({ length: 20 }, (_, i) => ({ prompt: `word ${i}`, answer: "no such answer", subset: i < 8 ? "few" : "many" })),
    );
    lines("chat.jsonl", [{ messages: [turn("user", "say map"), turn("assistant", "map")] }]);
    lines("general.jsonl", [{ text: "once upon a time" }, { text: "the end" }]);
    writeFileSync(path("check.mjs"), "export const check = ({ answer }) => answer.length;\n");
    writeFileSync(path("short.md"), "{{prompt}}\nA: {{answer_a}}\nB: {{answer_b}}\nA, B or C?");
  });
  after(() => home.clear());

  const path = (name: string): string => join(home.directory, name);
  const turn = (role: string, content: string): object => ({ role, content });
  const lines = (name: string, rows: readonly object[]): void =>
    writeFileSync(path(name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
  const rowsOf = (name: string): readonly Row[] =>
    readFileSync(path(name), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Row);
  const compare = async (...args: string[]): Promise<Comparison> =>
    (await home.json("compare", ...args, "--max-tokens", "8")) as unknown as Comparison;

  it("a module scores the answers of two checkpoints, by subset, and a repeated command gives the same rows", async () => {
    const words = ["policy", "reference", "--data", "held.jsonl", "--checker", "./check.mjs", "--temperature", "1", "--out"];
    const { sets } = await compare(...words, "first.jsonl");
    const [set] = sets;
    ok(set?.result);
    deepStrictEqual([set.prompts, set.result.n, set.unjudged], [20, 20, 0]);
    deepStrictEqual([set.result_by_subset["few"]?.n, set.result_by_subset["many"]?.n], [8, 12]);
    const rows = rowsOf("first.jsonl");
    const mean = rows.reduce((sum, { candidate }) => sum + candidate.text.length, 0) / rows.length;
    ok(Math.abs((set.result.scores?.candidate ?? 0) - mean) < 1e-9);
    ok(rows.some(({ candidate, baseline }) => candidate.text !== baseline.text));
    await compare(...words, "second.jsonl");
    deepStrictEqual(rowsOf("second.jsonl"), rows);
  });

  it("a model compared with itself ties everywhere, and has the same losses", async () => {
    const { sets } = await compare(
      "policy",
      "policy",
      "--data",
      "held.jsonl",
      "--data",
      "chat.jsonl",
      "--checker",
      "exact",
      "--temperature",
      "1",
    );
    deepStrictEqual(
      sets.map(({ result }) => [result?.wins, result?.ties, result?.losses]),
      [
        [0, 20, 0],
        [0, 1, 0],
      ],
    );
    strictEqual(sets[0]?.loss, null);
    ok(sets[1]?.loss && sets[1].loss.candidate === sets[1].loss.baseline && sets[1].loss.candidate_tokens === 5);
  });

  it("a judge reads its verdict from the probabilities of A, B and C in both orders", async () => {
    const words = ["--data", "held.jsonl", "--rows", "6", "--judge", "reference", "--template", "short.md", "--out", "judged.jsonl"];
    const { sets, warnings } = await compare("policy", "reference", ...words, "--temperature", "1");
    ok(sets[0]?.result);
    const { n, mean_mass: mass, contradictions } = sets[0].result;
    ok(n === 6 && mass !== null && mass > 0 && mass < 1 && contradictions !== null);
    ok(warnings.some(({ code }) => code === "LAP_JUDGE_FAMILY"));
    for (const { judged, outcome, candidate, baseline } of rowsOf("judged.jsonl")) {
      strictEqual(judged?.length, candidate.text.trim() === baseline.text.trim() ? 0 : 2);
      ok(["win", "tie", "loss"].includes(outcome ?? ""));
      for (const { probabilities } of judged) ok(Math.abs(Object.values(probabilities).reduce((a, b) => a + b, 0) - 1) < 1e-9);
    }
  });

  it("verdicts of people about the written answers decide, and the text shows the losses on each file", async () => {
    await compare("policy", "reference", "--data", "held.jsonl", "--out", "answers.jsonl");
    const rows = rowsOf("answers.jsonl");
    lines(
      "votes.jsonl",
      rows.map(({ id, answers }, i) => ({ id, answers, verdict: i < 15 ? "candidate" : "baseline" })),
    );
    const { sets } = await compare("policy", "reference", "--data", "held.jsonl", "--verdicts", "votes.jsonl");
    deepStrictEqual([sets[0]?.result?.wins, sets[0]?.result?.losses, sets[0]?.result?.rate], [15, 5, 0.75]);
    const { stdout, code } = await home.run("compare", "policy", "reference", "--data", "general.jsonl");
    strictEqual(code, 0);
    match(stdout, /loss \(nats\/token\) +candidate +baseline +difference +tokens\nall +\d+\.\d{4} +\d+\.\d{4}/);
  });

  it("mistakes in the command are found before a model starts", async () => {
    const failure = async (...args: string[]): Promise<string> => {
      const { code, stdout } = await home.run("compare", "policy", "reference", ...args, "--json");
      strictEqual(code, 2, stdout);
      return (JSON.parse(stdout) as { error: { code: string } }).error.code;
    };
    strictEqual(await failure("--data", "held.jsonl", "--checker", "sortd"), "LAP_CHECKER_SETTING");
    strictEqual(await failure("--data", "held.jsonl", "--checker", "exact", "--judge", "policy"), "LAP_CLI_ARGUMENT");
    strictEqual(await failure("--data", "none.jsonl"), "LAP_DATA_MISSING");
    strictEqual(await failure("--data", "held.jsonl", "--verdicts", "held.jsonl"), "LAP_VERDICT_ROW");
    deepStrictEqual(home.processes(), []);
  });

  it("a vocabulary without tokens of turns reads prompts as they are, and refuses dialogues", async () => {
    const file = JSON.parse(hubTokenizerFiles["tokenizer.json"] ?? "") as {
      added_tokens: { readonly content: string }[];
      readonly model: { vocab: Record<string, number> };
    };
    file.added_tokens = file.added_tokens.filter(({ content }) => !content.endsWith("_of_turn>"));
    file.model.vocab = Object.fromEntries(Object.entries(file.model.vocab).filter(([name]) => !name.endsWith("_of_turn>")));
    mkdirSync(path("base"));
    for (const name of ["config.json", "model.safetensors"]) copyFileSync(join(path("reference"), name), join(path("base"), name));
    writeFileSync(join(path("base"), "tokenizer_config.json"), hubTokenizerFiles["tokenizer_config.json"] ?? "");
    writeFileSync(join(path("base"), "tokenizer.json"), JSON.stringify(file));
    lines("mixed.jsonl", [{ prompt: "a word" }, { prompt: [turn("user", "a word")] }]);
    const { sets, warnings, baseline } = await compare("policy", "base", "--data", "mixed.jsonl");
    deepStrictEqual([baseline.form, sets[0]?.prompts, sets[0]?.refused.map(({ code }) => code)], ["raw", 1, ["LAP_EXAMPLE_TURN_TOKENS"]]);
    deepStrictEqual(
      warnings.map(({ code }) => code),
      ["LAP_COMPARE_REFUSED"],
    );
  });

  it("Ctrl-C ends the command and its workers", async () => {
    const running = home.start("compare", "policy", "reference", "--data", "held.jsonl", "--max-tokens", "200", "--temperature", "1");
    await running.says(/answers of the candidate/);
    running.pressCtrlC();
    strictEqual((await running.ended).code, 130);
    deepStrictEqual(home.processes(), []);
  });
});
