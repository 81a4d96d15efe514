/**
 * The data of sort5: five digits, to be written in ascending order. Row `i` of a file is a function of (seed, file, i).
 *
 *     demos.jsonl     35 % ascending, 60 % descending, 5 % ascending with two neighbours swapped
 *     prompts.jsonl   prompts for rollouts
 *     pairs.jsonl     the right answer and a wrong one of the demonstrations; 10 % of the labels are flipped
 *     held.jsonl      prompts of evaluations with the right answers
 *
 * All files except `held.jsonl` are gzip. `configs/pipelines/sort5` has them for seed 0.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { hash32, hashString, seededRandom } from "@lapidary/std";

/** @typedef {ReturnType<typeof seededRandom>} Random */

/** @param {number} seed @param {string} file @param {number} row */
const randomOf = (seed, file, row) => seededRandom(hash32(hash32(seed, hashString(file)), row));

/** @param {Random} random */
const drawQuestion = (random) => Array.from({ length: 5 }, () => random.integer(10)).join("");

/** @param {string} question */
export const ascending = (question) => [...question].sort().join("");

/** @param {string} question @param {Random} random */
function drawAnswer(question, random) {
  const kind = random.next();
  const digits = [...question].sort();
  if (kind < 0.6) return digits.reverse().join("");
  if (kind < 0.65) {
    const at = random.integer(4);
    digits.splice(at, 2, digits[at + 1] ?? "", digits[at] ?? "");
  }
  return digits.join("");
}

/** @param {number} seed @param {number} row */
export function demonstration(seed, row) {
  const random = randomOf(seed, "demos", row);
  const prompt = drawQuestion(random);
  return { prompt, completion: drawAnswer(prompt, random) };
}

/** @param {number} seed @param {number} row @param {"prompts" | "held"} [file] */
export const question = (seed, row, file = "prompts") => ({ prompt: drawQuestion(randomOf(seed, file, row)) });

/** @param {number} seed @param {number} row */
export function preference(seed, row) {
  const random = randomOf(seed, "pairs", row);
  for (;;) {
    const prompt = drawQuestion(random);
    const right = ascending(prompt);
    const wrong = drawAnswer(prompt, random);
    if (wrong === right) continue;
    const isFlipped = random.next() < 0.1;
    return { prompt, chosen: isFlipped ? wrong : right, rejected: isFlipped ? right : wrong };
  }
}

/**
 * Writes the files.
 *
 * @param {string} directory
 * @param {{ seed: number, demos: number, prompts: number, pairs: number, held: number }} sizes rows of each file
 */
export function writeData(directory, { seed, demos, prompts, pairs, held }) {
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of dataTexts({ seed, demos, prompts, pairs, held }))
    writeFileSync(join(directory, name), name.endsWith(".gz") ? gzipSync(text, { level: 9 }) : text);
}

/** Rows of each file of the pipeline. */
export const pipelineSizes = { demos: 38_400, prompts: 9_600, pairs: 3_000, held: 1_024 };

/**
 * The text of each file, before compression.
 *
 * @param {{ seed: number, demos: number, prompts: number, pairs: number, held: number }} sizes
 * @returns {ReadonlyMap<string, string>}
 */
export function dataTexts({ seed, demos, prompts, pairs, held }) {
  /** @param {number} rows @param {(row: number) => unknown} make */
  const text = (rows, make) => Array.from({ length: rows }, (_, row) => `${JSON.stringify(make(row))}\n`).join("");
  return new Map([
    ["demos.jsonl.gz", text(demos, (row) => demonstration(seed, row))],
    ["prompts.jsonl.gz", text(prompts, (row) => question(seed, row))],
    ["pairs.jsonl.gz", text(pairs, (row) => preference(seed, row))],
    [
      "held.jsonl",
      text(held, (row) => {
        const { prompt } = question(seed, row, "held");
        return { prompt, completion: ascending(prompt) };
      }),
    ],
  ]);
}
