import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { Home, root } from "./support/cli.js";
import { committedSteps, type CommittedStep, checkpointOf } from "./support/committed-steps.js";

const teacher = `model: { vocab_size: 300, model_dim: 32, layers: 2, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 64 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
zero: 3
workers: 2
train: { steps: 12, batch: 4, optimizer: { name: adamw, lr: 0.01 } }
data: { corpus: corpus, held_out: 0.2 }
`;
/** What makes the shipped example as small as its teacher of this test. */
const smallStudent = [
  "model={ vocab_size: 300, model_dim: 16, layers: 1, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 32, context_length: 64 }",
  "pod={ torus: 2x2, chip: v5e, host: 2x2 }",
  "mesh={ data: 2, model: 2 }",
  "data={ corpus: corpus, held_out: 0.2, tokenizer: quickstart-1 }",
  "train={ steps: 12, batch: 4, optimizer: { name: adamw, lr: 0.01 } }",
  "workers=2",
];

/** A recipe of TypeScript: it weighs each target by how far the model is from a frozen set, and its controller calls a program before each update. */
const controlled = `import { defineRecipe, option, tokenLosses } from "@lapidary/recipe";
import { scaled } from "./scaled.js";
export const recipe = defineRecipe({
  apiVersion: 1,
  options: { strength: option.number({ describe: "weight of the drift", min: 0 }), fail_at: option.integer({ describe: "a step", default: -1 }) },
  sets: ["base"],
  loss: (g, { logits, targets, batch, array }) => ({
    losses: g.multiply(tokenLosses(g, logits, targets), g.broadcastInDim(array("weights", "f32", [batch], ["batch"]), logits.type.dims.slice(0, 2), [0])),
  }),
  programs: {
    drift: (g, { set, logits, targets, mask }) => {
      const change = g.abs(g.subtract(tokenLosses(g, logits, targets), tokenLosses(g, set("base").logits, targets)));
      return { rows: g.reduce(g.multiply(change, mask), [1], "sum"), total: g.reduce(g.multiply(change, mask), [0, 1], "sum") };
    },
  },
  controller: ({ options, batch: rows, ...run }) => ({
    async step({ step, batch }): Promise<Record<string, number>> {
      const { scalars, arrays } = await run.call("drift", { batch });
      if (step === options.fail_at)
        throw new Error("no more");
      const drifts = arrays["rows"]?.data ?? [];
      const data = Float32Array.from({ length: rows }, (_, row) => scaled(options.strength, drifts[row] ?? 0));
      await run.update({ batch, arrays: { weights: { dtype: "f32", dims: [rows], data } } });
      if (step % 4 === 0) run.emit("drifted", { total: scalars["total"] ?? 0 });
      return { drift: scalars["total"] ?? 0 };
    },
    async evaluate(batches) {
      const { loss, tokens } = await run.evaluate(batches);
      return { loss, tokens, more: { doubled: 2 * loss } };
    },
  }),
});
`;
const scaled = `export const scaled = (strength: number, drift: number): number => 1 / (1 + strength * drift);
`;
const controlledJob = (base: string): string => `recipe: ./controlled.ts
options: { strength: 0.01 }
sets: { base: ${base} }
init: ${base}
${teacher.replace(/^train:.*\n^data:.*\n/ms, "")}train: { steps: 16, batch: 4, eval: { every: 8 }, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: demos.jsonl }], held_out: 0.1 }
checkpoint: { every: 5 }
`;
const demos = Array.from({ length: 20 }, (_, n) =>
  JSON.stringify({
    messages: [
      { role: "user", content: `Count ${n}` },
      { role: "assistant", content: `${n} ${n + 1}` },
    ],
  }),
).join("\n");

describe("a recipe that a user wrote", function () {
  this.timeout(300_000);
  let home: Home;
  const write = (of: Home, name: string, text: string): string => {
    const path = join(of.directory, name);
    writeFileSync(path, text);
    return path;
  };
  const add = (of: Home, base: string): string => {
    write(of, "demos.jsonl", demos);
    write(of, "controlled.ts", controlled);
    write(of, "scaled.ts", scaled);
    return write(of, "controlled.yaml", controlledJob(base));
  };
  const metricsOf = (run: string): Record<string, unknown>[] =>
    readFileSync(join(home.state, "runs", run, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  before(async () => {
    home = new Home();
    await home.json("up");
    await home.json("launch", write(home, "teacher.yaml", teacher), "--name", "quickstart-1");
    add(home, "quickstart-1");
  });
  after(() => home.clear());

  it("the distillation that ships learns from a larger teacher, whose weights stay as they are", async () => {
    const job = join(root, "configs/recipes/distill.yaml");
    await home.json("launch", job, ...smallStudent, "--name", "student");
    const rows = metricsOf("student").filter(({ kind }) => kind === "train") as { metrics: Record<string, number> }[];
    equal(rows.length, 12);
    const [first, last] = [rows[0]?.metrics, rows.at(-1)?.metrics];
    deepStrictEqual(Object.keys(first ?? {}).sort(), ["cross_entropy", "kl"]);
    ok((last?.["kl"] ?? 9) < 0.8 * (first?.["kl"] ?? 0), JSON.stringify([first, last]));
    const names = readFileSync(join(checkpointOf(home, "student", 12), "model.safetensors"))
      .subarray(8, 3000)
      .toString("latin1");
    ok(names.includes("model.layers.0.") && !names.includes("model.layers.1.") && !names.includes("teacher"));
  });

  it("a controller calls programs, updates the states, evaluates and adds events and metrics", async () => {
    await home.json("launch", join(home.directory, "controlled.yaml"), "--name", "controlled");
    const events = (await home.events("controlled")).filter(isOfType("recipe_noted"));
    deepStrictEqual(
      events.map(({ step, name }) => [step, name]),
      [1, 5, 9, 13].map((step) => [step, "drifted"]),
    );
    // Before the first update, the model is its frozen copy.
    deepStrictEqual(events[0]?.values, { total: 0 });
    ok(Number(events[3]?.values["total"]) > 1, JSON.stringify(events));
    const rows = metricsOf("controlled");
    const evaluations = rows.filter(({ kind }) => kind === "eval") as { heldout_loss: number; metrics: Record<string, number> }[];
    deepStrictEqual(
      evaluations.map(({ metrics }) => metrics["doubled"]),
      evaluations.map(({ heldout_loss }) => 2 * heldout_loss),
    );
  });

  it("a run whose workers and coordinator are killed has the digests of the run that was not interrupted", async () => {
    const fired = join(home.directory, "fired");
    mkdirSync(fired);
    const failpoints = ["backward-middle@4,1:kill", "after-commit@9,c:kill", "before-vote@14,0:kill"];
    const other = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired });
    const last = (rows: readonly CommittedStep[]): (readonly [number, string])[] => [
      ...new Map(rows.map(({ step, digest }) => [step, digest])),
    ];
    try {
      const job = add(other, checkpointOf(home, "quickstart-1", 12));
      await other.json("up");
      await other.run("launch", job, "--name", "killed");
      await other.json("up");
      await other.untilDone("killed");
      equal(readdirSync(fired).length, failpoints.length);
      deepStrictEqual(last(committedSteps(other, "killed")), last(committedSteps(home, "controlled")));
    } finally {
      await other.clear();
    }
  });

  it("a step that throws fails the run at the line of the recipe, and a changed recipe or import cannot resume it", async () => {
    const failed = await home.run("launch", join(home.directory, "controlled.yaml"), "options.fail_at=3", "--name", "failed");
    const line = controlled.split("\n").findIndex((text) => text.includes("no more")) + 1;
    match(failed.stderr, /LAP_RECIPE_FAILED: the job failed: step threw: no more/);
    ok(failed.stderr.includes(`controlled.ts:${line}:`), failed.stderr);
    equal(committedSteps(home, "failed").length, 3);
    const resumed = async (says: RegExp): Promise<void> => {
      const { code, stderr } = await home.run("jobs", "resume", "failed");
      equal(code, 2, stderr);
      match(stderr, says);
    };
    write(home, "scaled.ts", scaled.replace("1 /", "2 /"));
    await resumed(/LAP_RECIPE_CHANGED/);
    write(home, "scaled.ts", scaled);
    const options = await home.run("jobs", "resume", "failed", "options.strength=2");
    match(options.stderr, /LAP_RESUME_CHANGES: options\.strength of a run cannot change/);
  });

  it("a module of a job runs for a client with the token of the coordinator, and for no other client", async () => {
    const marker = join(home.directory, "ran");
    const path = write(home, "marks.mjs", `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(marker)}, "");\n`);
    const { port, token } = JSON.parse(readFileSync(join(home.state, "coordinator.json"), "utf8")) as { port: number; token: string };
    const submit = async (headers: Record<string, string>): Promise<number> =>
      (
        await fetch(`http://127.0.0.1:${port}/api/jobs`, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify({ yaml: `recipe: ${path}\n${teacher}`, base: home.directory }),
        })
      ).status;
    equal(await submit({}), 401);
    equal(await submit({ authorization: "Bearer 0123456789abcdef0123456789abcdef" }), 401);
    equal(await submit({ authorization: `Bearer ${token}`, origin: "http://example.com" }), 403);
    ok(!existsSync(marker));
    equal(await submit({ authorization: `Bearer ${token}` }), 400);
    ok(existsSync(marker));
  });

  it("plan, explain, config show and config validate read the job, and errors name the key or the line", async () => {
    const job = join(home.directory, "controlled.yaml");
    for (const args of [
      ["plan", job],
      ["explain", job, "--diff", job],
      ["config", "validate", job],
    ]) {
      const { code, stdout, stderr } = await home.run(...args);
      equal(code, 0, `${args.join(" ")}: ${stdout}\n${stderr}`);
    }
    match(
      (await home.run("config", "show", job)).stdout,
      /recipe: .*controlled\.ts\nrecipe_hash: [0-9a-f]{64}\noptions:\n {2}strength: 0\.01/,
    );
    const refused = async (command: string, override: string, says: RegExp): Promise<void> => {
      const { code, stderr } = await home.run(command, job, override);
      ok(code !== 0, stderr);
      match(stderr, says);
    };
    await refused("plan", "options.strength=-1", /LAP_RECIPE_OPTION: strength is -1: expected at least 0\n.*options\.strength=-1/);
    await refused("launch", "sets={}", /LAP_RECIPE_OPTION: the recipe needs the parameter set base/);
    write(
      home,
      "throws.mjs",
      controlled
        .replace(/: Promise<.*?>>/, "")
        .replace("g.multiply(token", "g.multiply(mask, token")
        .replace("scaled.js", "scaled.ts"),
    );
    await refused("launch", "recipe=./throws.mjs", /LAP_RECIPE_FAILED: loss threw: mask is not defined\n.*throws\.mjs:\d+:\d+/);
  });
});
