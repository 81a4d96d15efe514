/**
 * Compares the times of kernels of an exported step with the cycles that Google's TPU compiler estimates. The two divide a step into kernels
 * differently, so a kernel of the compiler is compared with all kernels of the simulator that write the same values, and the other way round.
 */

/** @typedef {import("./kernels.mjs").KernelClass} KernelClass */
/** @typedef {import("./kernels.mjs").XlaKernel} XlaKernel */
/** @typedef {{ class: KernelClass, ratio: number }} ClassRatio our time over that of the compiler */

/** In the order of precedence: a group with a matmul is a product, whatever else it has. @type {readonly KernelClass[]} */
const classes = ["product", "reduction", "loop"];

/**
 * @param {readonly XlaKernel[]} theirs
 * @param {readonly { at: number, seconds: number }[]} ours kernels by their position
 * @param {ReadonlyMap<number, number>} writtenAt by value, the position of the kernel that writes it
 * @param {number} hertz clock of the core
 * @returns {ClassRatio[]}
 */
export function compareKernels(theirs, ours, writtenAt, hertz) {
  const seconds = new Map(ours.map((kernel) => [kernel.at, kernel.seconds]));
  /** @type {{ kernels: XlaKernel[], at: Set<number> }[]} */
  let groups = [];
  for (const kernel of theirs) {
    const at = new Set(kernel.values.flatMap((value) => writtenAt.get(value) ?? []));
    if (at.size === 0) continue;
    const joined = groups.filter((group) => [...at].some((position) => group.at.has(position)));
    groups = groups.filter((group) => !joined.includes(group));
    groups.push({
      kernels: [kernel, ...joined.flatMap((group) => group.kernels)],
      at: new Set([...at, ...joined.flatMap((group) => [...group.at])]),
    });
  }
  return groups.flatMap(({ kernels, at }) => {
    const found = classes.find((each) => kernels.some((kernel) => kernel.class === each));
    const cycles = kernels.reduce((sum, kernel) => sum + kernel.cycles, 0);
    const own = [...at].reduce((sum, position) => sum + (seconds.get(position) ?? 0), 0) * hertz;
    return found === undefined ? [] : [{ class: found, ratio: own / cycles }];
  });
}

/** The value below which a share of the sorted ratios is. @param {readonly number[]} sorted @param {number} share */
const quantile = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;

/** @param {readonly ClassRatio[]} ratios @param {KernelClass} of */
const sortedRatios = (ratios, of) => ratios.flatMap((each) => (each.class === of ? [each.ratio] : [])).sort((a, b) => a - b);

/** The median of each class. @param {readonly ClassRatio[]} ratios @returns {Map<KernelClass, number>} */
export const medians = (ratios) => new Map(classes.map((each) => [each, quantile(sortedRatios(ratios, each), 0.5)]));

/** @param {readonly ClassRatio[]} ratios */
export function classTable(ratios) {
  const names = { product: "products", reduction: "reductions", loop: "fused loops", gather: "gathers" };
  return [
    "| class | kernels | 10 % | 25 % | median | 75 % | 90 % |",
    "|---|---|---|---|---|---|---|",
    ...classes.map((each) => {
      const sorted = sortedRatios(ratios, each);
      const shares = [0.1, 0.25, 0.5, 0.75, 0.9].map((share) => quantile(sorted, share).toFixed(2));
      return `| ${names[each]} | ${sorted.length} | ${shares.join(" | ")} |`;
    }),
    "| gathers, collectives | | | | no estimate | | |",
  ].join("\n");
}
