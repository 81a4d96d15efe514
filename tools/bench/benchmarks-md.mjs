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

/**
 * The text with this section first. Parts of the section that other runs wrote stay, unless `body` has them.
 *
 * @param {string} document the current text @param {string} kind @param {string} body @returns {string}
 */
export function withSection(document, kind, body) {
  const sections = document.split(/^## /m).slice(1);
  const isOwn = (/** @type {string} */ section) => section.slice(0, section.indexOf("\n")).trim() === kind;
  const parts = partsOf(sections.find(isOwn) ?? "").filter((part) => !body.includes(`### ${titleOf(part)}\n`));
  const own = [body.trim(), ...parts.map((part) => `### ${part.trim()}`)].filter((text) => text !== "").join("\n\n");
  return [
    intro,
    ...[`${kind}\n\n${own}\n`, ...sections.filter((section) => !isOwn(section))].map((section) => `## ${section.trimEnd()}\n`),
  ].join("\n");
}

/**
 * The text with one part of a section, and the rest of the section as it was.
 *
 * @param {string} document the current text @param {string} kind @param {string} title @param {string} body @returns {string}
 */
export function withPart(document, kind, title, body) {
  const section = document.split(/^## /m).find((each) => each.slice(0, each.indexOf("\n")).trim() === kind);
  const whole = section === undefined ? "" : section.slice(section.indexOf("\n"));
  const before = whole.split(/^### /m)[0] ?? "";
  const parts = partsOf(section ?? "").filter((part) => titleOf(part) !== title);
  return withSection(
    document,
    kind,
    [before.trim(), ...parts.map((part) => `### ${part.trim()}`), `### ${title}\n\n${body.trim()}`].join("\n\n"),
  );
}

/** @param {string} section */
const partsOf = (section) => section.split(/^### /m).slice(1);

/** @param {string} part */
const titleOf = (part) => part.slice(0, part.indexOf("\n")).trim();

/**
 * Each line as a paragraph of Markdown, in lines of at most 120 characters.
 * @param {string} text
 */
export const paragraphs = (text) => text.replaceAll("\n", "\n\n").replace(/(?=.{121})(.{1,120}) /g, "$1\n");
