/**
 * Reads the kernels of a program that Google's TPU compiler optimized: for each kernel its class, the values of the module that it writes,
 * and the cycles that the compiler estimates.
 */

/** @typedef {"product" | "loop" | "reduction" | "gather"} KernelClass */
/** @typedef {{ class: KernelClass, values: number[], cycles: number }} XlaKernel */

/** The compiler estimates about 1,800 cycles for a kernel without work, so the comparison leaves out kernels of less than ten times that. */
const leastCycles = 18_000;

/** @param {string} hlo @returns {XlaKernel[]} */
export function readKernels(hlo) {
  const computations = readComputations(hlo);
  const [, entry = []] = [...computations].find(([name]) => name.startsWith("ENTRY ")) ?? [];
  return entry.flatMap((line) => {
    const cycles = Number(/"estimated_cycles":"(\d+)"/.exec(line)?.[1] ?? 0);
    const called = / fusion\(.*calls=%?([\w.-]+)/.exec(line)?.[1];
    const values = writtenValues(line, computations);
    return called === undefined || values.length === 0 || cycles < leastCycles
      ? []
      : [{ class: classOf(called, computations), values, cycles }];
  });
}

/** The lines of each computation; the name of the entry begins with `ENTRY `. @param {string} hlo @returns {Map<string, string[]>} */
function readComputations(hlo) {
  /** @type {Map<string, string[]>} */
  const computations = new Map();
  /** @type {string[]} */
  let current = [];
  for (const line of hlo.split("\n")) {
    const [, entry, name] = /^(ENTRY )?%?([\w.-]+) \(.*\{$/.exec(line) ?? [];
    if (name !== undefined) computations.set(`${entry ?? ""}${name}`, (current = []));
    else current.push(line);
  }
  return computations;
}

/** @param {string} name @param {ReadonlyMap<string, readonly string[]>} computations @returns {KernelClass} */
function classOf(name, computations) {
  const ops = opsInside(name, computations);
  if (ops.has("convolution") || ops.has("dot")) return "product";
  if (ops.has("gather") || ops.has("scatter")) return "gather";
  return ops.has("reduce") ? "reduction" : "loop";
}

/** @param {string} name @param {ReadonlyMap<string, readonly string[]>} computations @returns {Set<string>} */
function opsInside(name, computations) {
  /** @type {Set<string>} */
  const ops = new Set();
  for (const line of computations.get(name) ?? []) {
    const op = / ([a-z][\w-]*)\(/.exec(line.replace(/^[^=]*= /, " "))?.[1];
    if (op !== undefined) ops.add(op);
    const called = / fusion\(.*calls=%?([\w.-]+)/.exec(line)?.[1];
    if (called !== undefined) for (const inner of opsInside(called, computations)) ops.add(inner);
  }
  return ops;
}

/** The ids of the values that a kernel writes: of its result, or of each element of its result. @param {string} line @param {ReadonlyMap<string, readonly string[]>} computations @returns {number[]} */
function writtenValues(line, computations) {
  const called = / fusion\(.*calls=%?([\w.-]+)/.exec(line)?.[1];
  const inner = computations.get(called ?? "") ?? [];
  const root = inner.find((each) => /^\s*ROOT /.test(each)) ?? "";
  const elements = /^\s*ROOT .* tuple\((.*?)\)/.exec(root)?.[1]?.match(/%[\w.-]+/g) ?? [];
  const lines = [line, root, ...elements.map((name) => inner.find((each) => each.trimStart().startsWith(`${name} = `)) ?? "")];
  return [...new Set(lines.flatMap((each) => /op_name="[^"]*#(\d+)"/.exec(each)?.[1] ?? []).map(Number))];
}
