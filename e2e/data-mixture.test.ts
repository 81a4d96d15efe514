import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MixtureDataset, openDataset } from "@lapidary/data";
import { publishSources, threeSources } from "@lapidary/data/testing/published-sources";
import { ensure, seededRandom } from "@lapidary/std";
import type { AblationReport } from "@lapidary/api/ablation-report";
import { axeViolations, layoutFaults, openBrowser, textOf, until } from "./support/browser.js";
import { Home } from "./support/cli.js";
import { committedSteps, lastDigests } from "./support/committed-steps.js";

const weights = "{ web: 0.7, code: 0.2, maths: 0.1 }";
const stages = `[{ from: 0, weights: ${weights} }, { from: 75%, ramp: 5%, weights: { web: 1, code: 1, maths: 2 } }]`;
const job = `model: { vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 32 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
workers: 2
train: { steps: 40, batch: 4, seq: 32, eval: { every: 20 }, optimizer: { name: adamw, lr: 0.005 } }
data: { pipeline: data, mixture: ${stages}, held_out: 0.2, repeat: 9 }
checkpoint: { every: 4 }
`;

const recitingJob = `model: { vocab_size: 300, model_dim: 48, layers: 2, heads: 4, kv_heads: 1, head_dim: 12, mlp_dim: 96, context_length: 64 }
pod: { torus: 1x1, chip: v5e, host: 1x1 }
mesh: { data: 1 }
workers: 1
train: { steps: 200, batch: 16, seq: 64, eval: { every: 200 }, optimizer: { name: adamw, lr: 0.01 } }
data: { pipeline: planted, held_out: 0.08, repeat: 100 }
`;

describe("training on a mixture of sources", function () {
  this.timeout(300_000);
  let home: Home;

  const add = (of: Home): string => {
    publishSources(join(of.directory, "data"), threeSources(40));
    const path = join(of.directory, "mixed.yaml");
    writeFileSync(path, job);
    return path;
  };
  const failure = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await home.run(...args);
    equal(code, 2, stderr);
    return stderr;
  };
  /** The rows that the workers of a run read. */
  const rowsOf = (of: Home): MixtureDataset => {
    const cache = join(of.state, "cache/datasets");
    const dataset = openDataset(join(cache, ensure(readdirSync(cache)[0], "dataset")));
    ok(dataset instanceof MixtureDataset);
    return dataset;
  };

  before(async () => {
    home = new Home();
    const path = add(home);
    await home.json("up");
    await home.json("launch", path, "--name", "whole");
  });
  after(() => home.clear());

  it("a run lowers the held-out loss of each source, and status, report and metrics have all of them", async () => {
    const { heldout_losses: losses, report } = (await home.json("jobs", "get", "whole")) as {
      heldout_losses: Record<string, number>;
      report?: { heldout_losses: Record<string, number> };
    };
    deepStrictEqual(Object.keys(losses), ["web", "code", "maths"]);
    if (report !== undefined) deepStrictEqual(report.heldout_losses, losses);
    const { stdout } = await home.run("jobs", "events", "whole");
    const evaluations = [...stdout.matchAll(/heldout_loss\.code (\d+\.\d+)/g)].map(([, loss]) => Number(loss));
    equal(evaluations.length, 2);
    ok((evaluations[1] ?? 9) < (evaluations[0] ?? 0), String(evaluations));
  });

  it("a run that is killed in the middle of epochs 1 and 3 of a source reads the rows of an undisturbed run", async () => {
    const dataset = rowsOf(home);
    const epochsIn = (step: number): number[] =>
      [0, 1, 2, 3].flatMap((row) => {
        const { source, epoch } = dataset.row(step, row);
        return source === 0 ? [epoch + 1] : [];
      });
    const middle = (epoch: number): number => {
      const steps = Array.from({ length: 40 }, (_, step) => step).filter((step) => epochsIn(step).every((each) => each === epoch));
      return ensure(steps[Math.floor(steps.length / 2)], `steps of epoch ${epoch}`);
    };
    const [first, third] = [middle(1), middle(3)];
    dataset.close();
    const fired = join(home.directory, "fired");
    mkdirSync(fired);
    const other = new Home({
      LAPIDARY_FAILPOINTS: `backward-middle@${first},1:kill;after-commit@${third},c:kill`,
      LAPIDARY_FAILPOINTS_FIRED: fired,
    });
    try {
      const path = add(other);
      await other.json("up");
      await other.run("launch", path, "--name", "killed");
      await other.json("up");
      await other.untilDone("killed");
      equal(readdirSync(fired).length, 2);
      deepStrictEqual(lastDigests(other, "killed"), lastDigests(home, "whole"));
    } finally {
      await other.clear();
    }
  });

  it("`data at` names the documents of a step, and `data where` finds the step again", async () => {
    const { rows } = (await home.json("data", "at", "whole", "7")) as {
      rows: { row: number; source: string; documents: { id: string; in_row: number }[]; text: string }[];
    };
    equal(rows.length, 4);
    const { row, source, documents, text } = ensure(rows[2], "row");
    const { id, in_row } = ensure(documents[0], "document");
    const found = (await home.json("data", "where", id, "whole")) as {
      source: string;
      text: string;
      steps: { step: number; row: number; tokens: number }[];
    };
    equal(found.source, source);
    const [at] = found.steps.filter(({ step }) => step === 7);
    deepStrictEqual([at?.row, at?.tokens], [row, in_row]);
    ok(text.includes(found.text.slice(-8)) || found.text.includes(text.slice(0, 8)), `${text} and ${found.text}`);
    equal((await home.run("data", "at", "whole", "41")).code, 102);
    match((await home.run("data", "where", "0123456789abcdef", "whole")).stderr, /LAP_DATA_DOCUMENT/);
  });

  it("another number of workers and another mesh train on the same rows", async () => {
    const changes = ["workers=1", "mesh={ data: 4 }", "train.steps=8"];
    const { code, stdout } = await home.run("launch", join(home.directory, "mixed.yaml"), "--name", "other", ...changes);
    equal(code, 0);
    match(stdout, /held-out loss[^]*maths: \d/);
    const [one, two] = [committedSteps(home, "other"), committedSteps(home, "whole")];
    equal(one.length, 8);
    // Stages that begin at a share of the run begin earlier in a shorter run.
    for (const [at, { loss }] of one.slice(0, 6).entries()) ok(Math.abs(loss - (two[at]?.loss ?? 0)) < 1e-3, `step ${at}`);
  });

  it("a run is resumed with other weights for the future, and refused with other weights for the past", async () => {
    const path = join(home.directory, "mixed.yaml");
    const only = `data.mixture=[{ from: 0, weights: ${weights} }]`;
    await home.json("launch", path, "--detach", "--name", "changed", "train.steps=100000", "data.repeat=100000", only);
    let step = 0;
    while (step < 8) ({ step } = (await home.json("jobs", "get", "changed")) as { step: number });
    await home.json("jobs", "cancel", "changed");
    await home.run("jobs", "wait", "changed");
    step = committedSteps(home, "changed").at(-1)?.step ?? 0;
    const from = (stage: number): string => `data.mixture=[{ from: 0, weights: ${weights} }, { from: ${stage}, weights: { code: 1 } }]`;
    match(await failure("jobs", "resume", "changed", `train.steps=${step + 4}`, from(2)), /LAP_MIXTURE_HISTORY/);
    await home.json("jobs", "resume", "changed", `train.steps=${step + 4}`, from(step + 2));
    equal((await home.run("jobs", "wait", "changed")).code, 0);
    equal(lastDigests(home, "changed").length, step + 4);
  });

  it("an ablation recommends a mixture, trains the large size on it, and says what it is worth, also as a page", async () => {
    const size = (dim: number, mixtures: number): string => `
  mixtures: ${mixtures}
  job:
    model: { vocab_size: 300, model_dim: ${dim}, layers: 1, heads: 2, kv_heads: 1, head_dim: 8, mlp_dim: 32, context_length: 32 }
    pod: { torus: 2x2, chip: v5e, host: 2x2 }
    mesh: { data: 4 }
    train: { steps: 3, batch: 4, seq: 32, eval: { every: 3, batches: 1 }, optimizer: { name: adamw, lr: 0.005 } }
    data: { held_out: 0.2 }
`;
    const file = join(home.directory, "ablation.yaml");
    writeFileSync(
      file,
      `pipeline: ./data\nseeds: 1\nrepeat: 9\ngoal: { web: 1, code: 1, maths: 2 }\nsmall:${size(16, 3)}large:${size(24, 2)}`,
    );
    const page = join(home.directory, "report.html");
    const { code, stdout, stderr } = await home.run("data", "ablate", file, "--name", "mix", "-o", page, "--json");
    equal(code, 0, stderr);
    const report = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as AblationReport & { pipelines: readonly string[] };
    deepStrictEqual([report.pipelines, report.runs.length, report.confirming?.length], [["mix", "mix-confirmed"], 5, 1]);
    ok(Math.abs(report.recommended.shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
    // The measured gain is that of the reports of the runs.
    const goalOf = async (run: string): Promise<number> => {
      const { heldout_losses: losses } = (await home.json("jobs", "get", run)) as { heldout_losses: Record<string, number> };
      return 0.25 * (losses["web"] ?? Number.NaN) + 0.25 * (losses["code"] ?? Number.NaN) + 0.5 * (losses["maths"] ?? Number.NaN);
    };
    const gain = (await goalOf("mix-large-m0-s0")) - (await goalOf("mix-confirmed-recommended-s0"));
    ok(Math.abs((report.measured?.gain ?? 9) - gain) < 1e-6, `${report.measured?.gain} and ${gain}`);
    const browser = await openBrowser();
    try {
      const opened = await (await browser.newContext({ offline: true })).newPage();
      await opened.goto(`file://${page}`);
      await until(opened, `document.querySelectorAll("svg circle").length === 9`);
      match(await textOf(opened, "[data-field=measured]"), new RegExp(Math.abs(gain).toFixed(4)));
      deepStrictEqual([...((await opened.evaluate(layoutFaults)) as string[]), ...(await axeViolations(opened))], []);
    } finally {
      await browser.close();
    }
  });

  it("a source that runs out, an unknown source and keys of a corpus are refused before the run", async () => {
    const path = join(home.directory, "mixed.yaml");
    match(await failure("launch", path, "data.mixture=[{ from: 0, weights: { books: 1 } }]"), /LAP_MIXTURE_STAGES[^]*data\.pipeline/);
    match(await failure("launch", path, "data.vocab=300"), /data\.vocab is not a key of a job with data\.pipeline/);
    match(await failure("launch", path, "data.repeat=1"), /LAP_MIXTURE_EXHAUSTED/);
  });

  it("a run recites what it read often, and the card, canaries and passes show it", async () => {
    const random = seededRandom(3);
    const pick = (from: string | readonly string[]): string => ensure(from[random.integer(from.length)], "a part");
    const times = (count: number, of: () => string): string[] => Array.from({ length: count }, of);
    const words = times(60, () => times(3 + random.integer(4), () => pick("aeioubdfglmnrst")).join(""));
    const sentence = (): string => times(14, () => pick(words)).join(" ");
    const canary = (): string => `${sentence()} code ${times(8, () => pick("0123456789")).join(" ")}`;
    const rows = [64, 1, 0].flatMap((copies) => times(3, canary).map((text) => ({ text, times: copies })));
    const set = join(home.directory, "canaries.jsonl");
    writeFileSync(set, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    publishSources(join(home.directory, "planted"), {
      web: times(200, sentence),
      planted: rows.flatMap(({ text, times: copies }) => times(copies, () => text)),
    });
    const path = join(home.directory, "planted.yaml");
    writeFileSync(path, recitingJob);
    await home.json("launch", path, "--name", "reciting");

    const short = ["--prompt", "16", "--continuation", "16"];
    const { sources } = (await home.json("data", "memorise", "reciting", "--documents", "12", ...short)) as {
      sources: { name: string; split: string; tested: number; exact: number; passes: Record<string, { tested: number }> }[];
    };
    const shareOf = (name: string, split: string): number => {
      const { exact, tested } = ensure(
        sources.find((each) => each.name === name && each.split === split),
        `${name} ${split}`,
      );
      return exact / tested;
    };
    ok(shareOf("planted", "train") >= 0.6, String(shareOf("planted", "train")));
    deepStrictEqual([shareOf("web", "train"), shareOf("web", "heldout")], [0, 0]);
    const passes = sources.filter(({ split }) => split === "train").flatMap((each) => Object.keys(each.passes));
    ok(
      passes.every((each) => Number(each) >= 5) &&
        sources.every(({ split, passes: of }) => split === "train" || Object.keys(of).join() === "0"),
    );

    const tested = ["data", "memorise", "reciting", "--set", set, "--values", "15", ...short];
    const { canaries, file } = (await home.json(...tested)) as {
      canaries: { times: number; exact: number; extracted: number; exposure: number }[];
      file: string;
    };
    deepStrictEqual(
      canaries.map(({ times: copies, exact, extracted }) => [copies, exact, extracted]),
      [
        [0, 0, 0],
        [1, 0, 0],
        [64, 3, 3],
      ],
    );
    const bits = canaries.map(({ exposure }) => exposure);
    ok((bits[0] ?? 9) < 2.5 && bits[2] === 4 && (bits[1] ?? 0) <= 4, String(bits));
    const report = JSON.parse(readFileSync(file, "utf8")) as { sources: unknown; canaries: unknown };
    deepStrictEqual([report.sources, report.canaries], [sources, canaries]);
    match(await failure("data", "memorise", "reciting", "--prompt", "60"), /LAP_DATA_CONTEXT[^]*--continuation/);
    match(await failure("data", "memorise", "reciting", "--set", path, ...short), /LAP_DATA_CANARIES/);
  });
});
