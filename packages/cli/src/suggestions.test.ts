import { equal, match } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RanCommand, runInDirectory } from "./testing/run-command-line.js";

/** Command lines with one misspelt word, and the remedy of their error. */
const mistakes: readonly (readonly [kind: string, words: readonly string[], remedy: string])[] = [
  ["command", ["plam", "nano"], 'did you mean "plan"?'],
  ["subcommand", ["ckpt", "verfy", "first-1"], 'did you mean "verify"?'],
  ["option", ["plan", "nano16", "--serch"], 'did you mean "--search"?'],
  ["choice of an option", ["explain", "nano16", "--stage", "partion"], 'did you mean "partition"?'],
  ["job", ["plan", "nno16"], 'did you mean "nano16"?'],
  ["job or pipeline of launch", ["launch", "two-stag", "--detach"], 'did you mean "two-stage"?'],
  ["job file", ["config", "show", "mine/jbo.yaml"], "did you mean mine/job.yaml?"],
  ["key of a job", ["plan", "nano16", "train.step=5"], 'did you mean "train.steps"?'],
  ["key of a named model", ["plan", "nano16", "model.layer=2"], 'did you mean "model.layers"?'],
  ["model", ["plan", "nano16", "model=micor"], 'did you mean "micro"?'],
  ["pod", ["plan", "nano16", "pod=v5e-265"], 'did you mean "v5e-256"?'],
  ["strategy", ["plan", "nano16", "strategy=tensor-sequenc"], 'did you mean "tensor-sequence"?'],
  ["logical axis", ["plan", "nano16", "rules.emb=data"], 'did you mean "embed"?'],
  ["chip", ["plan", "nano16", "--chip", "v5ee"], 'did you mean "v5e"?'],
  ["run of jobs get", ["jobs", "get", "frist-1"], 'did you mean "first-1"? `lapidary jobs` lists all'],
  ["run of logs", ["logs", "first-11"], 'did you mean "first-1"? `lapidary jobs` lists all'],
  ["run of export-run", ["export-run", "firs-1", "-o", "x.html"], 'did you mean "first-1"? `lapidary jobs` lists all'],
  ["run of ckpt", ["ckpt", "list", "fist-1"], 'did you mean "first-1"?'],
  ["run of sample", ["sample", "fist-1", "a"], 'did you mean "first-1"?'],
  ["run of trace", ["trace", "fist-1", "-o", "x.json"], 'did you mean "first-1"?'],
  ["job of trace", ["trace", "nano1", "-o", "x.json"], 'did you mean "nano16"?'],
  ["run of explain", ["explain", "fist-1"], 'did you mean "first-1"?'],
  ["tensor", ["explain", "nano16", "layers.0.mlp.down_pro.weight"], 'did you mean "layers.0.mlp.down_proj.weight"?'],
  ["whole name of a tensor", ["explain", "nano16", "params/model.embed_token.weight"], 'did you mean "params/model.embed_tokens.weight"?'],
  ["program", ["plan", "nano16", "--program", "train_stpe"], 'did you mean "train_step"? programs are '],
];

const common = { id: "first-1", created_at: 1, priority: 0, model: "nano16", pod: "v5e-256", mesh: "data=256", chips: 256, steps: 1 };
const identity = { ...common, queue_id: "1", fingerprint: "", job: {} };
const summary = { ...common, state: "done", step: 1, finished_at: 2 };

describe("suggestions of the command line", function () {
  this.timeout(120_000);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-suggestions-"));
  const run = (words: readonly string[]): Promise<RanCommand> => runInDirectory(directory, words);

  before(() => {
    for (const path of ["mine", "home/runs/first-1"]) mkdirSync(join(directory, path), { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, "mine/job.yaml"), "model: nano\n");
    writeFileSync(join(directory, "home/runs/first-1/run.json"), JSON.stringify(identity));
    writeFileSync(join(directory, "home/runs/first-1/summary.json"), JSON.stringify(summary));
  });
  after(() => rmSync(directory, { recursive: true }));

  for (const [kind, words, remedy] of mistakes)
    it(`a misspelt ${kind} gets the nearest one as a suggestion`, async () => {
      const { exit, stdout, stderr } = await run(words);
      match(stderr, /error LAP_/);
      equal(/ {4}remedy: (.*)\n/.exec(stderr)?.[1]?.slice(0, remedy.length), remedy, stderr);
      equal(stdout, "");
      equal(exit === 0, false);
    });
});
