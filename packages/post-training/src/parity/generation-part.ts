import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import { cacheArrays } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { type GraphRunner, type Sampling, decodeProgram, prefillProgram, sampledLogProbs } from "@lapidary/training";
import type { PostBundle } from "./bundle.js";
import { PartChecks, type PostCheck } from "./checks.js";
import { type Arrays, arrayOf, asParams } from "./context.js";
import { matrixDims } from "./rows.js";

/** Greedy generation with a cache, from prompts of unequal length, and the distributions of filtered sampling. */
export async function checkGeneration(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { manifest, files, config } = bundle;
  const checks = new PartChecks("generation", manifest);
  const { new_tokens: count, step, stop_token: stop, settings } = manifest.generation;
  const file = files.generation;
  const [batch] = matrixDims(file.tokens("prompt_ids", config.vocabSize));
  const { tokens, logits } = await generateGreedily(bundle, runner);
  checks.equal("tokens", tokens.data, file.i32("tokens", [batch, count]).data);
  const at = (index: number): ArrayData => ensure(logits[index], "logits");
  const dims = [batch, config.vocabSize];
  checks.array("logits_first", at(0), file.f32("logits_first", dims), "logits");
  checks.array("logits_step", at(step), file.f32("logits_step", dims), "logits");
  checks.array("logits_last", at(count - 1), file.f32("logits_last", dims), "logits");
  const chosen = chosenOf(logits, tokens);
  checks.array("chosen_logits", chosen.logits, file.f32("chosen_logits", [batch, count]), "logits");
  checks.array("chosen_logps", chosen.logps, file.f32("chosen_logps", [batch, count]), "tokenLogp");

  const stopped = stopAt(tokens, stop);
  checks.equal("stopped tokens", stopped.tokens, file.i32("stopped_tokens", [batch, count]).data);
  checks.equal("stopped lengths", stopped.lengths, file.i32("stopped_lengths", [batch]).data);

  const plain: Sampling = { temperature: 1, top_p: 1 };
  const filters: Readonly<Record<string, Sampling>> = {
    warped_temperature: { ...plain, temperature: settings.temperature },
    warped_top_k: { ...plain, top_k: settings.top_k },
    warped_top_p: { ...plain, top_p: settings.top_p },
    warped_all: { temperature: settings.temperature, top_k: settings.top_k, top_p: settings.top_p },
  };
  for (const [name, sampling] of Object.entries(filters)) checks.array(name, warped(at(step), sampling), file.f32(name, dims), "tokenLogp");
  return checks.list;
}

async function generateGreedily(
  { manifest, files, config, model, policy }: PostBundle,
  runner: GraphRunner,
): Promise<{ tokens: ArrayData; logits: ArrayData[] }> {
  const prompts = files.generation.tokens("prompt_ids", config.vocabSize);
  const [batch, prompt] = matrixDims(prompts);
  const mask = files.generation.padded("prompt_mask", [batch, prompt], "left");
  const first = i32Array(
    [batch],
    Array.from({ length: batch }, (_, row) => mask.data.subarray(row * prompt, (row + 1) * prompt).indexOf(1)),
  );
  const count = manifest.generation.new_tokens;
  const shape = { batch, positions: prompt + count };
  const weights = asParams(policy);
  const inputs = new Map([...weights, ["tokens", prompts] as const, ["first", first] as const]);
  let out: Arrays = await runner.run("prefill", prefillProgram(model, { ...shape, prompt }), inputs);
  const names = cacheArrays(model, shape).map(({ name }) => name);
  const decodeGraph = decodeProgram(model, shape);
  const [tokens, logits] = [new Int32Array(batch * count), [arrayOf(out, "logits")]];
  for (let step = 0; ; step++) {
    arrayOf(out, "token").data.forEach((token, row) => {
      tokens[row * count + step] = token;
    });
    if (step + 1 === count) return { tokens: i32Array([batch, count], tokens), logits };
    const previous = out;
    const cache = names.map((name) => [name, arrayOf(previous, name)] as const);
    const position = i32Array([], [prompt + step]);
    out = await runner.run(
      "decode",
      decodeGraph,
      new Map([...weights, ...cache, ["token", arrayOf(out, "token")], ["position", position], ["first", first]]),
    );
    logits.push(arrayOf(out, "logits"));
  }
}

/** The logit and the log-probability of each drawn token, [B, steps]. */
function chosenOf(logits: readonly ArrayData[], tokens: ArrayData): { logits: ArrayData; logps: ArrayData } {
  const [batch = 0, steps = 0] = tokens.dims;
  const [chosen, logps] = [new Float32Array(batch * steps), new Float32Array(batch * steps)];
  for (let row = 0; row < batch; row++)
    for (let step = 0; step < steps; step++) {
      const values = rowOf(ensure(logits[step], "logits"), row);
      const logit = ensure(values[ensure(tokens.data[row * steps + step], "token")], "logit");
      const max = values.reduce((a, b) => Math.max(a, b));
      chosen[row * steps + step] = logit;
      logps[row * steps + step] = logit - max - Math.log(values.reduce((sum, x) => sum + Math.exp(x - max), 0));
    }
  return { logits: f32Array(tokens.dims, chosen), logps: f32Array(tokens.dims, logps) };
}

function rowOf(matrix: ArrayData, row: number): Float32Array {
  const columns = ensure(matrix.dims[1], "columns");
  return Float32Array.from(matrix.data.subarray(row * columns, (row + 1) * columns));
}

/** The tokens up to and with the first stop token, 0 after it, and their number. */
function stopAt(tokens: ArrayData, stop: number): { tokens: number[]; lengths: number[] } {
  const [batch = 0, steps = 0] = tokens.dims;
  const lengths = Array.from({ length: batch }, (_, row) => {
    const found = tokens.data.subarray(row * steps, (row + 1) * steps).indexOf(stop);
    return found < 0 ? steps : found + 1;
  });
  return {
    lengths,
    tokens: Array.from(tokens.data, (token, i) => (i % steps < ensure(lengths[Math.floor(i / steps)], "length") ? token : 0)),
  };
}

/** Log-probabilities of the filtered distribution of every row, −1e30 for a token that is not drawn. */
function warped(logits: ArrayData, sampling: Sampling): ArrayData {
  const [batch = 0] = logits.dims;
  return f32Array(
    logits.dims,
    Array.from({ length: batch }, (_, row) => [...sampledLogProbs(rowOf(logits, row), sampling)].map((x) => Math.max(x, -1e30))).flat(),
  );
}
