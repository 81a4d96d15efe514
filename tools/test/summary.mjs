/** The last lines of `npm test`, before the line `N passed, N failed`. */

/** @typedef {{ readonly group: string, readonly outcome: import("./groups.mjs").Outcome }} GroupOutcome */

/**
 * The number of random cases that were compared.
 * @param {readonly GroupOutcome[]} outcomes
 * @returns {string[]}
 */
export function totalText(outcomes) {
  const properties = outcomes.flatMap(({ outcome }) => outcome.properties);
  const cases = properties.reduce((sum, property) => sum + property.cases, 0);
  return properties.length === 0 ? [] : [`${cases} random cases of ${properties.length} properties compared`];
}

/**
 * The processor time of the whole command, also of set-up, build and checks of the sources.
 * @param {number} seconds
 */
export const processorText = (seconds) => [`${seconds.toFixed(0)} s of processor time`];

/**
 * The tests that were skipped: their count, then one line each.
 * @param {readonly GroupOutcome[]} outcomes
 * @returns {string[]}
 */
export function skippedText(outcomes) {
  const skipped = outcomes.flatMap(({ group, outcome }) => outcome.skipped.map((title) => `  - ${group}: ${title}`));
  return [`${skipped.length} skipped${skipped.length === 0 ? "" : ", because this machine lacks what they need:"}`, ...skipped];
}

/** Lines of a failure that the summary repeats: the message of an assertion and the place in the test. */
const failureLines = 12;

/**
 * The tests that failed, each with the first lines of its message. Their whole messages stand further up, among the lines of their groups.
 * @param {readonly GroupOutcome[]} outcomes
 * @returns {string[]}
 */
export function failuresText(outcomes) {
  return outcomes.flatMap(({ group, outcome }) =>
    outcome.failures.flatMap(({ title, message }) => [
      `  ✘ ${group}: ${title}`,
      ...message
        .trimEnd()
        .split("\n")
        .slice(0, failureLines)
        .map((line) => `      ${line}`),
    ]),
  );
}

/**
 * One line for each property.
 * @param {import("./groups.mjs").Outcome} outcome
 * @returns {string[]}
 */
export function propertiesText({ properties }) {
  return properties.map(
    ({ title, cases, rejected, seed }) => `    ${cases} cases${rejected === 0 ? "" : `, ${rejected} rejected`}, seed ${seed}: ${title}`,
  );
}
