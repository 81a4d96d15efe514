import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { readSafetensors } from "@lapidary/interop";
import { readTokenizer } from "@lapidary/tokenizer";
import { Home } from "./support/cli.js";
import { jaxPython, lossesOf, runExport } from "./support/xla.js";
import { checkpointOf, committedSteps, type CommittedStep } from "./support/committed-steps.js";

const model = `model: { vocab_size: 300, model_dim: 32, layers: 2, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 64 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
zero: 3
workers: 2
`;
const baseJob = `${model}train: { steps: 6, batch: 4, optimizer: { name: adamw, lr: 0.003 } }
data: { corpus: corpus, held_out: 0.2 }
`;
const sftJob = (init: string, more = ""): string => `recipe: sft
init: ${init}
${model}train: { steps: 16, batch: 4, eval: { every: 8 }, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: demos.jsonl }], held_out: 0.1, filters: [schema, duplicates] }
checkpoint: { every: 5 }
sample: { prompt: Say sun 0, tokens: 12, temperature: 0 }
${more}`;
/** With more steps than the other job, so that a failpoint can choose between them. */
const loraJob = (init: string): string => sftJob(init, "lora: { rank: 2, alpha: 4, targets: [q, v] }\n").replace("steps: 16", "steps: 20");
const words = ["sun", "sea", "tree", "fish", "bird", "rock", "moon", "rain", "wind", "leaf"];
const dialogue = (n: number): object => ({
  messages: [
    { role: "user", content: `Say ${words[n % 10]} ${n}` },
    { role: "assistant", content: `${n} ${words[n % 10]}` },
  ],
});
const demos = [...Array.from({ length: 20 }, (_, n) => JSON.stringify(dialogue(n))), JSON.stringify({ messages: [] })].join("\n");

describe("supervised fine-tuning", function () {
  this.timeout(300_000);
  let home: Home;
  const fired = (): string => join(home.directory, "fired");

  const write = (of: Home, name: string, text: string): string => {
    const path = join(of.directory, name);
    writeFileSync(path, text);
    return path;
  };
  const add = (of: Home): void => void write(of, "demos.jsonl", demos);

  before(async () => {
    home = new Home();
    add(home);
    await home.json("up");
    await home.json("launch", write(home, "base.yaml", baseJob), "--name", "base");
  });
  after(() => home.clear());

  it("a run that starts from another by its name lowers the loss, and its checkpoint is a chat model", async () => {
    const { report } = (await home.json("launch", write(home, "sft.yaml", sftJob("base")), "--name", "whole")) as {
      report: { heldout_loss: number; unigram_loss: number; sample: { prompt: string; text: string } };
    };
    const steps = committedSteps(home, "whole");
    equal(steps.length, 16);
    ok((steps.at(-1)?.loss ?? 9) < 0.6 * (steps[0]?.loss ?? 0), JSON.stringify(steps.map(({ loss }) => loss)));
    equal(report.sample.prompt, "Say sun 0");
    ok(report.heldout_loss < report.unigram_loss, JSON.stringify(report));
    const { tokenizer } = readTokenizer(checkpointOf(home, "whole", 16));
    ok(tokenizer.turns !== undefined && tokenizer.control.stops.includes(tokenizer.turns.endOfTurn));
    match(readFileSync(join(checkpointOf(home, "whole", 16), "tokenizer_config.json"), "utf8"), /chat_template/);
  });

  it("refused rows are a warning, and filters and refused rows are events of the run", async () => {
    const events = await home.events("whole");
    const [refused] = events.filter(isOfType("examples_refused"));
    deepStrictEqual(
      refused?.first.map(({ row }) => row),
      [21],
    );
    deepStrictEqual(
      events.filter(isOfType("examples_filtered")).map(({ filter, checked, removed }) => [filter, checked, removed]),
      [
        ["schema", 20, 0],
        ["duplicates", 20, 0],
      ],
    );
    const { warnings } = (await home.json("jobs", "get", "whole")) as { warnings: { code: string }[] };
    ok(warnings.some(({ code }) => code === "LAP_EXAMPLES_REFUSED"));
  });

  it("an adapter is trained alone, and its checkpoint has PEFT's files and the state of a resume", async () => {
    const path = write(home, "lora.yaml", loraJob("base"));
    await home.json("launch", path, "--name", "adapter");
    const steps = committedSteps(home, "adapter");
    ok((steps.at(-1)?.loss ?? 9) < (steps[0]?.loss ?? 0), JSON.stringify(steps.map(({ loss }) => loss)));
    const directory = checkpointOf(home, "adapter", 20);
    const adapter = await readSafetensors(join(directory, "adapter_model.safetensors"));
    deepStrictEqual(
      [...adapter.keys()].sort().slice(0, 2),
      ["A", "B"].map((matrix) => `base_model.model.model.layers.0.self_attn.q_proj.lora_${matrix}.weight`),
    );
    equal(adapter.size, 8);
    ok(!existsSync(join(directory, "model.safetensors")));
    const config = JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    deepStrictEqual(
      [config["peft_type"], config["r"], config["lora_alpha"], config["target_modules"]],
      ["LORA", 2, 4, ["q_proj", "v_proj"]],
    );
  });

  it("runs whose workers and coordinator are killed have the digests of the runs that were not interrupted", async () => {
    mkdirSync(fired());
    const failpoints = ["backward-middle@4,1:kill", "after-commit@9,c:kill", "before-vote@18,0:kill", "before-vote@18,1:kill"];
    const other = new Home({ LAPIDARY_FAILPOINTS: failpoints.join(";"), LAPIDARY_FAILPOINTS_FIRED: fired() });
    const last = (rows: readonly CommittedStep[]): (readonly [number, string])[] => [
      ...new Map(rows.map(({ step, digest }) => [step, digest])),
    ];
    const base = checkpointOf(home, "base", 6);
    try {
      add(other);
      await other.json("up");
      await other.run("launch", write(other, "sft.yaml", sftJob(base)), "--name", "killed");
      await other.json("up");
      await other.untilDone("killed");
      await other.run("launch", write(other, "lora.yaml", loraJob(base)), "--name", "adapter");
      await other.untilDone("adapter");
      equal(readdirSync(fired()).length, 4);
      deepStrictEqual(last(committedSteps(other, "killed")), last(committedSteps(home, "whole")));
      deepStrictEqual(last(committedSteps(other, "adapter")), last(committedSteps(home, "adapter")));
      const restored = (await other.events("adapter")).filter(isOfType("state_restored"));
      deepStrictEqual(
        restored.map(({ source, step }) => [source, step]),
        [
          ["initialization", 0],
          ["checkpoint", 15],
        ],
      );
    } finally {
      await other.clear();
    }
  });

  it("`ckpt export` merges an adapter into the weights under it, and writes a whole model", async () => {
    await home.json("ckpt", "export", "adapter", "-o", "merged");
    const merged = await readSafetensors(join(home.directory, "merged/model.safetensors"));
    const base = await readSafetensors(join(checkpointOf(home, "base", 6), "model.safetensors"));
    const changed = [...base]
      .filter(([name, { data }]) => data.some((value, i) => value !== merged.get(name)?.data[i]))
      .map(([name]) => name);
    deepStrictEqual(
      changed.sort(),
      [0, 1].flatMap((layer) => ["q", "v"].map((of) => `model.layers.${layer}.self_attn.${of}_proj.weight`)),
    );
    const { text } = (await home.json("sample", "merged", "Say sun 0", "--chat", "--tokens", "4", "--top-k", "1")) as { text: string };
    equal(typeof text, "string");
  });

  it("XLA computes the losses of the run from the export of its job, on the same rows", async () => {
    const python = await jaxPython();
    await home.json("export", join(home.directory, "sft.yaml"), "-o", "exported");
    const losses = lossesOf(await runExport(python, join(home.directory, "exported"), "--text", "chip", "--devices", "4", "--steps", "5"));
    equal(losses.size, 5);
    for (const { step, loss } of committedSteps(home, "whole").slice(0, 5))
      ok(Math.abs((losses.get(step) ?? 0) - loss) < 1e-4, `step ${step}: ${losses.get(step)} for ${loss}`);
    const { code, stderr } = await home.run("export", join(home.directory, "lora.yaml"), "-o", "adapter");
    equal(code, 2, stderr);
    match(stderr, /the export for XLA has no adapters/);
  });

  it("plan, explain, config show and config validate read the job", async () => {
    const job = join(home.directory, "sft.yaml");
    for (const args of [
      ["plan", job],
      ["explain", job],
      ["config", "show", job],
      ["config", "validate", job],
    ]) {
      const { code, stdout, stderr } = await home.run(...args);
      equal(code, 0, `${args.join(" ")}: ${stdout}\n${stderr}`);
    }
    match((await home.run("config", "show", job)).stdout, /recipe: sft/);
  });

  it("a job without examples, without a checkpoint or with keys of another recipe is refused at its key", async () => {
    const refused = async (text: string, says: RegExp): Promise<void> => {
      const { code, stderr } = await home.run("plan", write(home, "bad.yaml", text));
      equal(code, 2, stderr);
      match(stderr, says);
    };
    await refused(sftJob("base").replace(/^data:.*\n/m, ""), /needs data\.train/);
    await refused(sftJob("base").replace("init: base\n", ""), /needs a checkpoint to start from/);
    await refused(sftJob("base").replace("recipe: sft\n", ""), /data\.train is not a key of the recipe pretrain/);
    await refused(sftJob("base").replace("filters: [", "corpus: corpus, filters: ["), /data\.corpus is not a key of the recipe sft/);
    await refused(sftJob("base").replace("duplicates]", "contamination]"), /contamination needs data\.eval/);
  });
});
