import { type ArrayData, f32Array } from "@lapidary/interop";
import { loraName, loraParams, loraWeights } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { shiftLabels, type GraphRunner } from "@lapidary/training";
import { sftStep } from "../programs/sft-step.js";
import { trainedStates } from "../programs/trained-model.js";
import type { PostBundle } from "./bundle.js";
import { PartChecks, type PostCheck } from "./checks.js";
import { type Arrays, asParams, gradientsOf, initialStates, inputsOf, runStep, runSteps, scalarOf } from "./context.js";
import { matrixDims } from "./rows.js";

/** The padded dialogues of a bundle as inputs of a step. */
function paddedBatch({ files, config: { vocabSize } }: PostBundle): {
  shape: { batch: number; seq: number; segments: false };
  inputs: Arrays;
} {
  const tokens = files.sft.tokens("input_ids", vocabSize);
  const [batch, seq] = matrixDims(tokens);
  files.sft.padded("attention_mask", [batch, seq], "right");
  const labels = shiftLabels(files.sft.labels("labels", vocabSize, tokens.dims));
  return { shape: { batch, seq, segments: false }, inputs: inputsOf({ tokens, ...labels }) };
}

/** Tokens of the shortest rows whose losses are compared. */
export const shortestRow = ({ files, config: { vocabSize } }: PostBundle): number =>
  Math.min(...["input_ids", "packed_input_ids"].map((name) => files.sft.tokens(name, vocabSize).dims[1] ?? 0));

/** The largest number that divides the rows of all batches of fine-tuning. */
export const commonRows = ({ files, config: { vocabSize } }: PostBundle): number =>
  ["input_ids", "packed_input_ids"].reduce((rows, name) => commonDivisor(rows, files.sft.tokens(name, vocabSize).dims[0] ?? 0), 0);

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));

/** Fine-tuning on padded rows, and on the same dialogues packed into fewer rows. */
export async function checkSft(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { config, model, manifest, files, update, policy, chunks, microbatches } = bundle;
  const checks = new PartChecks("sft", manifest);
  const names = model.params.map(({ name }) => name);
  const states = initialStates(trainedStates(model, update), policy);
  const expected = files.sft.gradients(model.params);

  const padded = paddedBatch(bundle);
  const graph = sftStep(model, update, padded.shape, { withGradients: true, chunks, microbatches });
  const { first, losses } = await runSteps(runner, { name: "sft padded", graph, states, rest: padded.inputs });
  checks.number("loss", scalarOf(first, "loss"), manifest.sft.loss);
  checks.exact("tokens_counted", scalarOf(first, "tokens_counted"), manifest.sft.tokens_counted);
  checks.gradients("gradients", gradientsOf(first, names), expected);
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), manifest.sft.grad_norm);
  checks.steps(losses, manifest.sft.step_losses);
  checks.mistakes(scalarOf(first, "loss"), manifest.sft.loss, manifest.sft.mistakes);

  const tokens = files.sft.tokens("packed_input_ids", config.vocabSize);
  const [batch, seq] = matrixDims(tokens);
  const rest = inputsOf({
    tokens,
    segments: files.sft.within("packed_segment_ids", tokens.dims, 0, seq),
    ...shiftLabels(files.sft.labels("packed_labels", config.vocabSize, tokens.dims)),
  });
  const packedGraph = sftStep(model, update, { batch, seq, segments: true }, { withGradients: true, chunks, microbatches });
  const packed = await runStep(runner, { name: "sft packed", graph: packedGraph, states, rest });
  checks.number("packed_loss", scalarOf(packed, "loss"), manifest.sft.packed_loss);
  checks.exact("packed tokens_counted", scalarOf(packed, "tokens_counted"), manifest.sft.tokens_counted);
  checks.gradients("packed gradients", gradientsOf(packed, names), expected);
  checks.mistakes(scalarOf(packed, "loss"), manifest.sft.packed_loss, manifest.sft.mistakes, "packed rows, ");
  return checks.list;
}

/** Fine-tuning of a low-rank adapter, and the weights that it is merged into. */
export async function checkLora(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { model, manifest, files, update, policy, lora, chunks, microbatches } = bundle;
  const checks = new PartChecks("lora", manifest);
  const padded = paddedBatch(bundle);
  const graph = sftStep(model, update, padded.shape, { withGradients: true, lora: lora.config, chunks, microbatches });
  const states = initialStates(trainedStates(model, update, { lora: lora.config }), lora.weights);
  const rest = new Map([...asParams(policy), ...padded.inputs]);
  const { first, losses } = await runSteps(runner, { name: "lora", graph, states, rest });
  const params = loraParams(model, lora.config);
  const names = params.map(({ name }) => name);
  checks.number("loss", scalarOf(first, "loss"), manifest.lora.loss);
  checks.gradients("gradients", gradientsOf(first, names), files.lora.gradients(params));
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), manifest.lora.grad_norm);
  checks.steps(losses, manifest.lora.step_losses);

  const merged = new Map([...policy, ...mergeAdapter(bundle)]);
  for (const { name, dims } of loraWeights(model, lora.config))
    checks.array(`merged ${name}`, ensure(merged.get(name), name), files.lora.f32(`merged.${name}`, dims), "merged");
  const mergedGraph = sftStep(model, update, padded.shape, { withGradients: true, chunks, microbatches });
  const mergedStates = initialStates(trainedStates(model, update), merged);
  const out = await runStep(runner, { name: "sft padded", graph: mergedGraph, states: mergedStates, rest: padded.inputs });
  checks.number("merged_loss", scalarOf(out, "loss"), manifest.lora.merged_loss);
  return checks.list;
}

/** W + alpha/r · B·A of every weight that the adapter changes. */
function mergeAdapter({ model, policy, lora: { config, weights } }: PostBundle): Map<string, ArrayData> {
  return new Map(
    loraWeights(model, config).map(({ name, dims: [out = 0, width = 0] }) => {
      const [w, a, b] = [policy.get(name), weights.get(loraName(name, "A")), weights.get(loraName(name, "B"))].map(
        (x) => ensure(x, name).data,
      );
      const data = Float32Array.from({ length: out * width }, (_, i) => {
        const [row, column] = [Math.floor(i / width), i % width];
        let sum = 0;
        for (let r = 0; r < config.rank; r++) sum += (b?.[row * config.rank + r] ?? 0) * (a?.[r * width + column] ?? 0);
        return (w?.[i] ?? 0) + (config.alpha / config.rank) * sum;
      });
      return [name, f32Array([out, width], data)];
    }),
  );
}
