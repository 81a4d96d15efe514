/**
 * docs/benchmarks.md: a section for each kind of processor, the newest first. A run replaces the section of its own kind alone, for ratios differ between
 * kinds by more than anything that is done about them.
 */
const intro = `# Benchmarks

Written by \`npm run bench\`, a section for each kind of processor that it was run on: Lapidary and JAX in turn. Ratios are medians of pairs, with the smallest and the largest; memory is the peak of all our
processes together (shared pages once) against the peak of JAX's process. What was done to get here, and what is left, is in [performance.md](performance.md).
`;

/**
 * What decides how fast a product can be, of the flags in /proc/cpuinfo.
 * @param {string} flags
 */
export function instructionsOf(flags) {
  const has = (/** @type {string} */ flag) => new RegExp(`\\b${flag}\\b`).test(flags);
  if (has("amx_bf16")) return "AMX";
  if (has("avx512_bf16")) return "AVX-512 with bf16";
  if (has("avx512f")) return "AVX-512";
  return has("avx2") ? "AVX2" : "neither AVX2 nor AVX-512";
}

/** @param {string} document as it is @param {string} kind @param {string} body @returns {string} with that section as its first */
export function withSection(document, kind, body) {
  const others = document
    .split(/^## /m)
    .slice(1)
    .filter((section) => section.slice(0, section.indexOf("\n")).trim() !== kind);
  return [intro, ...[`${kind}\n\n${body.trim()}\n`, ...others].map((section) => `## ${section.trimEnd()}\n`)].join("\n");
}
