/**
 * docs/benchmarks.md: a section for each kind of processor, the newest first. A run replaces only the section of its own kind, because ratios differ more
 * between kinds of processors than between versions of Lapidary.
 */
const intro = `# Benchmarks

Written by \`npm run bench\`, with one section for each kind of processor. The benchmark runs Lapidary and JAX in turn. A
ratio is the median of paired runs, followed by the smallest and the largest. *Of 1 device* is the step time of
Lapidary divided by that of JAX on one device. *Faster than all* is the step time of JAX on as many devices as chips
divided by that of Lapidary.

The memory of Lapidary is the peak of all its processes, with shared pages counted once. The memory of JAX is the peak
of its process. [performance.md](performance.md) explains the design, and
[history/performance.md](history/performance.md) lists the experiments.
`;

/**
 * The instruction set that decides the speed of matmuls, from the flags in /proc/cpuinfo.
 * @param {string} flags
 */
export function instructionsOf(flags) {
  const has = (/** @type {string} */ flag) => new RegExp(`\\b${flag}\\b`).test(flags);
  if (has("amx_bf16")) return "AMX";
  if (has("avx512_bf16")) return "AVX-512 with bf16";
  if (has("avx512f")) return "AVX-512";
  return has("avx2") ? "AVX2" : "neither AVX2 nor AVX-512";
}

/** @param {string} document the current text @param {string} kind @param {string} body @returns {string} the text with this section first */
export function withSection(document, kind, body) {
  const others = document
    .split(/^## /m)
    .slice(1)
    .filter((section) => section.slice(0, section.indexOf("\n")).trim() !== kind);
  return [intro, ...[`${kind}\n\n${body.trim()}\n`, ...others].map((section) => `## ${section.trimEnd()}\n`)].join("\n");
}

/**
 * Each line as a paragraph of Markdown, in lines of at most 120 characters.
 * @param {string} text
 */
export const paragraphs = (text) => text.replaceAll("\n", "\n\n").replace(/(?=.{121})(.{1,120}) /g, "$1\n");
