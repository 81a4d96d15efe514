/**
 * The data of sort5: five digits, to be written in ascending order. Row `i` of a file is a function of (seed, file, i).
 *
 *     demos.jsonl     35 % ascending, 60 % descending, 5 % ascending with two neighbours swapped
 *     prompts.jsonl   prompts for rollouts
 *     pairs.jsonl     the right answer and a wrong one of the demonstrations; 10 % of the labels are flipped
 *     held.jsonl      prompts of evaluations
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  /** @param {string} name @param {number} rows @param {(row: number) => unknown} make */
  const write = (name, rows, make) =>
    writeFileSync(join(directory, name), Array.from({ length: rows }, (_, row) => `${JSON.stringify(make(row))}\n`).join(""));
  write("demos.jsonl", demos, (row) => demonstration(seed, row));
  write("prompts.jsonl", prompts, (row) => question(seed, row));
  write("pairs.jsonl", pairs, (row) => preference(seed, row));
  write("held.jsonl", held, (row) => question(seed, row, "held"));
}
