/**
 * Which mutants a run plants: a seeded random sample, or those of a list. A plugin of StrykerJS: it rejects all others before their tests run.
 * The same mutants are drawn in every run with one seed, so that two runs are comparable.
 */
import { createHash } from "node:crypto";
import { relative } from "node:path";

/**
 * @typedef {{ line: number, column: number }} Position
 * @typedef {{ mutatorName: string, replacement?: string, location: { start: Position, end: Position } }} PlantedMutant
 * @typedef {object} Choice
 * @property {number} seed
 * @property {number} share of the mutants, from 0 to 1
 * @property {readonly string[]} [keys] only these mutants
 */

/**
 * The identity of a mutant: its built file, its place and its replacement.
 *
 * @param {string} file relative to the project
 * @param {PlantedMutant} mutant
 * @param {number} [base] the first line and column: 1 in reports of StrykerJS, 0 in its plugins
 */
export function keyOf(file, { mutatorName, replacement = "", location: { start, end } }, base = 1) {
  const at = [start.line, start.column, end.line, end.column].map((n) => n - base).join(":");
  return `${file} ${at} ${mutatorName} ${replacement}`;
}

/** @param {string} key @param {Choice} choice */
export function isChosen(key, { seed, share, keys }) {
  if (keys !== undefined && !keys.includes(key)) return false;
  return createHash("sha256").update(`${seed} ${key}`).digest().readUInt32BE() < share * 2 ** 32;
}

/**
 * The 95 % interval of a share, by Wilson's score, in percent.
 *
 * @param {number} hits
 * @param {number} tries
 * @returns {readonly [number, number]}
 */
export function confidenceInterval(hits, tries) {
  if (tries === 0) return [0, 100];
  const [z, share] = [1.96, hits / tries];
  const middle = share + (z * z) / (2 * tries);
  const half = z * Math.sqrt((share * (1 - share)) / tries + (z * z) / (4 * tries * tries));
  const scale = 100 / (1 + (z * z) / tries);
  return [Math.max(0, (middle - half) * scale), Math.min(100, (middle + half) * scale)];
}

/** @param {{ mutantChoice: Choice }} options those of the run */
function makeChecker({ mutantChoice }) {
  return {
    init: async () => undefined,
    /** @param {readonly { id: string }[]} mutants */
    group: async (mutants) => [mutants.map(({ id }) => id)],
    /** @param {readonly (PlantedMutant & { id: string, fileName: string })[]} mutants */
    check: async (mutants) =>
      Object.fromEntries(
        mutants.map((mutant) => {
          const chosen = isChosen(keyOf(relative(process.cwd(), mutant.fileName), mutant, 0), mutantChoice);
          return [mutant.id, chosen ? { status: "passed" } : { status: "compileError", reason: "not in the sample" }];
        }),
      ),
  };
}

export const strykerPlugins = [{ kind: "Checker", name: "sample", factory: Object.assign(makeChecker, { inject: ["options"] }) }];
