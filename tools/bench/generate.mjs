/**
 * `npm run bench -- --case generate`: the speed of prefill and decode on the emulated pod.
 *
 *     on 16x16       tokens/s of a batch with a cache of keys and values, in turn with `generate` of transformers on the same cores
 *     on 1x1         the same on one chip
 *     recomputing    on 16x16, a token from the whole context, as sampling without a cache computes it
 */
import { jobOf } from "./case.mjs";
import { median } from "../median.mjs";
import { Peer } from "./peer.mjs";
import { waitForIdle } from "./wait-for-idle.mjs";

const built = (/** @type {string} */ name) => import(new URL(`../../packages/${name}`, import.meta.url).href);

/** Models of configs/models. */
export const generateModels = ["micro", "nano16", "mini"];
const rows = 16;
const prompt = 16;
const count = 128;
/** Tokens that one message decodes, and the messages in flight. */
const [tokensAtOnce, ahead] = [8, 2];

/** Tokens of a row, and the positions of the cache. @typedef {{ readonly prompt: number, readonly count: number, readonly positions: number }} Lengths */

/** A worker group that generates. */
class Generator {
  /** @param {string} name @param {readonly [number, number]} mesh @param {number} workers */
  static async start(name, [data, model], workers) {
    const [{ openSession }, training, { makeMesh }, models] = await Promise.all(
      ["trainer", "training", "topology", "models"].map((each) => built(`${each}/dist/index.js`)),
    );
    const job = await jobOf({ model: name, mesh: [data, model], batch: rows, numerics: "f32" });
    // Models of shorter contexts generate beyond them: rotary embeddings set no limit, and both sides compute the same.
    const config = { ...job.model.config, contextLength: Math.max(job.model.config.contextLength, prompt + count) };
    const mesh = makeMesh({ data, model });
    const session = await openSession({
      mesh,
      workers,
      zero: 0,
      rules: training.defaultRules(mesh, models.paramsOf(config)),
      environment: process.env,
      log: (/** @type {string} */ worker, /** @type {string} */ line) => process.stderr.write(`${worker}: ${line}\n`),
    });
    const generator = new Generator(session, models.buildModel(config), training, models, config);
    await generator.#prepare();
    return generator;
  }

  /** @param {any} session @param {any} model @param {any} training @param {any} models @param {any} config */
  constructor(session, model, training, models, config) {
    this.session = session;
    this.model = model;
    this.training = training;
    this.models = models;
    /** @type {Lengths} */
    this.lengths = { prompt, count, positions: prompt + count };
    this.config = config;
  }

  async #prepare() {
    const { session, model, training, models, lengths } = this;
    const { group } = session;
    const shape = { batch: rows, positions: lengths.positions };
    const init = await group.load(
      session.compile("init", training.initGraph(training.trainState(model, { name: "sgd", lr: 1, weight_decay: 0 }), 1)),
    );
    const state = new Map(group.outputs(init).map((/** @type {{ id: string }} */ { id }) => [id, id]));
    await group.run(group.bind(init, { inputs: new Map(), outputs: state, donate: [] }), { step: 0 });
    this.cache = models.cacheArrays(model, shape).map((/** @type {{ name: string }} */ { name }) => name);
    const kept = [...this.cache, "token", "position"];
    const outputs = new Map(kept.map((name) => [name, name]));
    const load = async (/** @type {string} */ name, /** @type {any} */ graph) => {
      const hash = await group.load(session.compile(name, graph));
      return { hash, inputs: new Map(group.parameters(hash).map((/** @type {{ id: string }} */ { id }) => [id, id])) };
    };
    const prefill = await load("prefill", training.prefillProgram(model, { ...shape, prompt }));
    const decode = await load("decode", training.decodeProgram(model, shape));
    const whole = await load("whole", training.prefillProgram(model, { ...shape, prompt: lengths.positions }));
    this.prefill = group.bind(prefill.hash, { inputs: prefill.inputs, outputs, donate: [] });
    this.decode = group.bind(decode.hash, { inputs: decode.inputs, outputs, donate: kept });
    this.whole = group.bind(whole.hash, {
      inputs: new Map([...whole.inputs, ["tokens", "context"]]),
      outputs: new Map(),
      donate: [],
    });
    const put = (/** @type {string} */ hash, /** @type {string} */ name, /** @type {string} */ id, /** @type {readonly number[]} */ dims) =>
      group.put(
        { ...group.parameter(hash, name), id },
        {
          dtype: "i32",
          dims,
          data: Int32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => (name === "first" ? 0 : 3 + (i % 97))),
        },
      );
    await Promise.all([
      put(prefill.hash, "tokens", "tokens", [rows, prompt]),
      put(whole.hash, "tokens", "context", [rows, lengths.positions]),
      put(prefill.hash, "first", "first", [rows]),
    ]);
    // Warm-up: Node compiles code, and buffers grow to their size.
    await this.generate();
    await this.generate();
  }

  /** Prefill and all new tokens of a batch. @returns {Promise<number>} seconds */
  async generate() {
    const { group } = this.session;
    const before = performance.now();
    const runs = [group.run(this.prefill, { step: 0 })];
    for (let done = 1; done < this.lengths.count; done += tokensAtOnce) {
      runs.push(group.run(this.decode, { step: 0, times: Math.min(tokensAtOnce, this.lengths.count - done) }));
      await runs.at(-1 - ahead);
    }
    await Promise.all(runs);
    const seconds = (performance.now() - before) / 1000;
    await group.drop([...(this.cache ?? []), "token", "position"]);
    return seconds;
  }

  /** One token of each row from the whole context. @returns {Promise<number>} seconds */
  async recompute() {
    const before = performance.now();
    await this.session.group.run(this.whole, { step: 0 });
    return (performance.now() - before) / 1000;
  }

  close() {
    return this.session.close();
  }
}

/**
 * Measures one model.
 *
 * @param {string} name
 * @param {{ readonly workers: number, readonly pairs: number, readonly python: string | undefined, readonly tell: (what: string) => void }} options
 *   `python`: an interpreter with torch and transformers
 */
export async function measureGenerate(name, { workers, pairs, python, tell }) {
  tell("starting");
  const pod = await Generator.start(name, [16, 16], workers);
  const { count } = pod.lengths;
  const counts = { rows, prompt, new: count, threads: workers };
  const torch = python === undefined ? undefined : await Peer.torchGenerations(python, pod.config, counts, tell);
  /** @type {number[]} */
  const ours_s = [];
  /** @type {number[]} */
  const torch_s = [];
  /** @type {number[]} */
  const recomputed_s = [];
  for (let pair = 0; pair < pairs; pair++) {
    tell(`pair ${pair + 1} of ${pairs}`);
    await waitForIdle();
    ours_s.push(await pod.generate());
    if (torch !== undefined) {
      await waitForIdle();
      torch_s.push((await torch.burst(1)).seconds);
    }
    recomputed_s.push(await pod.recompute());
  }
  await torch?.close();
  await pod.close();
  tell("one chip");
  const chip = await Generator.start(name, [1, 1], 1);
  const chip_s = [];
  for (let pair = 0; pair < pairs; pair++) {
    await waitForIdle();
    chip_s.push(await chip.generate());
  }
  await chip.close();
  const tokens = rows * count;
  const perSecond = (/** @type {readonly number[]} */ seconds) => tokens / median(seconds);
  return {
    model: name,
    rows,
    prompt,
    count,
    pod_tokens_per_s: perSecond(ours_s),
    chip_tokens_per_s: perSecond(chip_s),
    recomputed_tokens_per_s: rows / median(recomputed_s),
    ...(torch === undefined
      ? {}
      : { torch_tokens_per_s: perSecond(torch_s), ratio_torch: median(torch_s.map((other, i) => other / (ours_s[i] ?? NaN))) }),
  };
}

/** @param {Awaited<ReturnType<typeof measureGenerate>>} found */
export function printGenerate({
  model,
  count,
  pod_tokens_per_s,
  chip_tokens_per_s,
  recomputed_tokens_per_s,
  torch_tokens_per_s,
  ratio_torch,
}) {
  const perToken = (/** @type {number} */ tokensPerSecond) => `${(1000 / tokensPerSecond).toFixed(3)} ms a token`;
  return [
    `${model}: ${rows} rows, ${prompt} + ${count} tokens`,
    `  pod 16x16      ${pod_tokens_per_s.toFixed(0).padStart(6)} tokens/s  ${perToken(pod_tokens_per_s)}`,
    `  one chip       ${chip_tokens_per_s.toFixed(0).padStart(6)} tokens/s  ${perToken(chip_tokens_per_s)}`,
    `  recomputing    ${recomputed_tokens_per_s.toFixed(0).padStart(6)} tokens/s  the pod without a cache; ${(pod_tokens_per_s / recomputed_tokens_per_s).toFixed(1)} times slower`,
    ...(torch_tokens_per_s === undefined || ratio_torch === undefined
      ? []
      : [
          `  transformers   ${torch_tokens_per_s.toFixed(0).padStart(6)} tokens/s  the pod is ${ratio_torch.toFixed(2)} times faster (goal: 3)`,
        ]),
  ].join("\n");
}
