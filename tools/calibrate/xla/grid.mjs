/**
 * The grid of jobs with which the memory model of the exported step is compared with Google's TPU compiler. A row is `derived` if a
 * rule of the model was found in its buffer assignment, and `checked` if the model was only compared with it.
 */

/** @typedef {"derived" | "checked"} Use */
/** @typedef {{ name: string, use: Use, model: string, mesh: string, slice: string, pods: number, zero: number, remat: string, batch: number, seq: number, overrides: readonly string[] }} GridRow */

const gemma2b = { family: "gemma", vocab_size: 256128, model_dim: 2048, heads: 8, kv_heads: 1, head_dim: 256, mlp_dim: 16384 };
const gemma7b = { family: "gemma", vocab_size: 256128, model_dim: 3072, heads: 16, kv_heads: 16, head_dim: 256, mlp_dim: 24576 };
const wide = { family: "decoder", vocab_size: 32000, model_dim: 4096, heads: 32, kv_heads: 32, head_dim: 128, mlp_dim: 16384 };
const narrow = { family: "decoder", vocab_size: 32000, model_dim: 2048, heads: 16, kv_heads: 4, head_dim: 128, mlp_dim: 8192 };

const llama = { family: "llama", vocab_size: 32000, model_dim: 2048, heads: 16, kv_heads: 8, head_dim: 128, mlp_dim: 5632 };
const gemma2 = { family: "gemma2", vocab_size: 32000, model_dim: 2048, heads: 8, kv_heads: 4, head_dim: 256, mlp_dim: 8192, window: 1024 };

/** @param {string} name @param {Readonly<Record<string, string | number>>} shape @param {number} layers */
const model = (name, shape, layers) => {
  const fields = Object.entries({ name: `${name}-${layers}`, ...shape, layers, context_length: 8192 });
  return `{ ${fields.map(([key, value]) => `${key}: ${value}`).join(", ")} }`;
};
/** @param {number} layers */
const twoB = (layers) => model("gemma-2b", gemma2b, layers);
/** @param {number} layers */
const sevenB = (layers) => model("gemma-7b", gemma7b, layers);
/** @param {number} layers */
const wideDecoder = (layers) => model("decoder-wide", wide, layers);
/** @param {number} layers */
const narrowDecoder = (layers) => model("decoder-narrow", narrow, layers);
/** @param {number} layers */
const smallLlama = (layers) => model("llama-small", llama, layers);
/** @param {number} layers */
const smallGemma2 = (layers) => model("gemma2-small", gemma2, layers);
/** @param {number} layers */
const wordyDecoder = (layers) => model("decoder-wordy", { ...narrow, vocab_size: 128256 }, layers);
/** @param {number} layers */
const wordyLlama = (layers) => model("llama-wordy", { ...llama, vocab_size: 128256 }, layers);
export const sequenceParallel = ["rules.activation_seq=model"];
/** @param {number} count */
const pieces = (count) => [`loss_chunks=${count}`];

/**
 * @param {readonly [string, Use]} row @param {readonly [string, string]} split the model and its mesh @param {readonly [string, number]} pod
 * @param {readonly [number, string]} memory ZeRO stage and remat @param {readonly [number, number]} tokens @param {readonly string[]} [overrides]
 * @returns {GridRow}
 */
const row = ([name, use], [modelText, mesh], [slice, pods], [zero, remat], [batch, seq], overrides = []) => ({
  name,
  use,
  model: modelText,
  mesh,
  slice,
  pods,
  zero,
  remat,
  batch,
  seq,
  overrides,
});

/** @type {readonly GridRow[]} */
export const grid = [
  row(["d2-data-z3-full", "derived"], [wideDecoder(2), "{data: 4}"], ["2x2", 1], [3, "full"], [4, 2048]),
  row(["d2-data-z3-none", "derived"], [wideDecoder(2), "{data: 4}"], ["2x2", 1], [3, "none"], [4, 2048]),
  row(["2b2-data-z3-full", "derived"], [twoB(2), "{data: 4}"], ["2x2", 1], [3, "full"], [4, 2048]),
  row(["s4-data-z0-none", "derived"], [narrowDecoder(4), "{data: 4}"], ["2x2", 1], [0, "none"], [8, 2048]),
  row(["s4-data-z1-dots", "derived"], [narrowDecoder(4), "{data: 4}"], ["2x2", 1], [1, "dots"], [8, 2048]),
  row(["d2-model-z0-full", "derived"], [wideDecoder(2), "{model: 4}"], ["2x2", 1], [0, "full"], [2, 2048]),
  row(["d2-both-z2-dots", "derived"], [wideDecoder(2), "{data: 2, model: 2}"], ["2x2", 1], [2, "dots"], [4, 2048]),
  row(["d2-seq-z3-full", "checked"], [wideDecoder(2), "{data: 2, model: 2}"], ["2x2", 1], [3, "full"], [4, 2048], sequenceParallel),
  row(["2b2-both-z3-full", "derived"], [twoB(2), "{data: 2, model: 2}"], ["2x2", 1], [3, "full"], [4, 2048]),
  row(["s4-data-z2-full-8k", "derived"], [narrowDecoder(4), "{data: 4}"], ["2x2", 1], [2, "full"], [4, 8192]),
  row(["7b1-model-z3-full", "derived"], [sevenB(1), "{data: 2, model: 4}"], ["2x4", 1], [3, "full"], [4, 2048]),
  row(["s1-pods-z0-none-8k", "checked"], [narrowDecoder(1), "{pod: 2, data: 4}"], ["2x2", 2], [0, "none"], [8, 8192]),
  row(["s2-model-z0-full-8k", "derived"], [narrowDecoder(2), "{model: 4}"], ["2x2", 1], [0, "full"], [2, 8192]),
  row(["s2-seq-z3-dots-8k", "checked"], [narrowDecoder(2), "{data: 2, model: 2}"], ["2x2", 1], [3, "dots"], [4, 8192], sequenceParallel),
  row(["2b1-data-z0-full", "checked"], [twoB(1), "{data: 4}"], ["2x2", 1], [0, "full"], [16, 2048]),
  row(["s4-seq-z3-none", "checked"], [narrowDecoder(4), "{data: 2, model: 2}"], ["2x2", 1], [3, "none"], [4, 2048], sequenceParallel),
  row(["s4-pods-z3-full", "derived"], [narrowDecoder(4), "{pod: 2, data: 4}"], ["2x2", 2], [3, "full"], [8, 2048]),
  row(["l2-data-z3-dots", "checked"], [smallLlama(2), "{data: 4}"], ["2x2", 1], [3, "dots"], [8, 2048]),
  row(["g2-data-z2-full", "checked"], [smallGemma2(2), "{data: 4}"], ["2x2", 1], [2, "full"], [8, 2048]),
  row(["7b2-both-z3-full", "derived"], [sevenB(2), "{data: 2, model: 4}"], ["2x4", 1], [3, "full"], [4, 2048]),
  row(["2b1-pods-z3-dots", "derived"], [twoB(1), "{pod: 2, data: 4}"], ["2x2", 2], [3, "dots"], [8, 2048]),
  row(["s2-both-z1-none", "checked"], [narrowDecoder(2), "{data: 2, model: 2}"], ["2x2", 1], [1, "none"], [4, 2048]),
  row(["l1-both-z1-full-8k", "checked"], [smallLlama(1), "{data: 2, model: 2}"], ["2x2", 1], [1, "full"], [2, 8192]),
  row(["s1-seq-z2-none-8k", "derived"], [narrowDecoder(1), "{model: 4}"], ["2x2", 1], [2, "none"], [1, 8192], sequenceParallel),
  row(["2b18-data-z3-full", "derived"], [twoB(18), "{data: 16}"], ["4x4", 1], [3, "full"], [16, 2048]),
  row(["2b2-pods-z3-full", "checked"], [twoB(2), "{pod: 2, data: 4}"], ["2x2", 2], [3, "full"], [8, 2048]),
  row(["s2-square-z2-none", "checked"], [narrowDecoder(2), "{data: 16}"], ["4x4", 1], [2, "none"], [16, 2048]),
  row(["l2-square-z3-dots", "checked"], [smallLlama(2), "{data: 16}"], ["4x4", 1], [3, "dots"], [32, 2048]),
  row(["g2-both-z3-full", "checked"], [smallGemma2(2), "{data: 2, model: 2}"], ["2x2", 1], [3, "full"], [4, 2048]),
  row(["7b1-data-z3-dots", "checked"], [sevenB(1), "{data: 8}"], ["2x4", 1], [3, "dots"], [8, 2048]),
  row(["d1-data-z3-none-8k", "checked"], [wideDecoder(1), "{data: 8}"], ["2x4", 1], [3, "none"], [8, 8192]),
  row(["l2-both-z3-none", "checked"], [smallLlama(2), "{data: 4, model: 2}"], ["2x4", 1], [3, "none"], [16, 2048]),
  row(["2b1-pieces8-z3-full", "derived"], [twoB(1), "{data: 4}"], ["2x2", 1], [3, "full"], [4, 2048], pieces(8)),
  row(["n2-pieces4-z3-full", "derived"], [wordyDecoder(2), "{data: 4}"], ["2x2", 1], [3, "full"], [8, 2048], pieces(4)),
  row(["l2-pieces4-both-z3-dots", "checked"], [wordyLlama(2), "{data: 2, model: 2}"], ["2x2", 1], [3, "dots"], [4, 2048], pieces(4)),
  row(["n2-pieces8-model-z0-full-8k", "checked"], [wordyDecoder(2), "{model: 4}"], ["2x2", 1], [0, "full"], [2, 8192], pieces(8)),
  row(["2b2-pieces4-pods-z3-full", "derived"], [twoB(2), "{pod: 2, data: 4}"], ["2x2", 2], [3, "full"], [8, 2048], pieces(4)),
  row(["2b1-pieces2-z2-none", "checked"], [twoB(1), "{data: 4}"], ["2x2", 1], [2, "none"], [4, 2048], pieces(2)),
  row(["2b2-pieces8-square-z3-full", "checked"], [twoB(2), "{data: 16}"], ["4x4", 1], [3, "full"], [32, 2048], pieces(8)),
  row(["n2-pieces4-z3-full-8k", "checked"], [wordyDecoder(2), "{data: 4}"], ["2x2", 1], [3, "full"], [4, 8192], pieces(4)),
];

/** Overrides of a job file for a row. @param {GridRow} row */
export const overridesOf = ({ model: modelText, mesh, slice, pods, zero, remat, batch, seq, overrides }) => [
  `model=${modelText}`,
  `pods=${pods}`,
  `slice=${slice}`,
  `mesh=${mesh}`,
  `zero=${zero}`,
  `remat=${remat}`,
  `train.batch=${batch}`,
  `train.seq=${seq}`,
  "attention=plain",
  ...overrides,
];
