/**
 * The packages whose tests are tested. Mutants are planted in the built files of `files`; the tests of `tests` run against each. The issue of
 * a low score is a missing test, never a lower `goal`.
 */

/**
 * @typedef {object} Target
 * @property {string} package
 * @property {readonly string[]} [files] globs relative to the package's `dist`; by default all
 * @property {readonly string[]} tests packages, or folders or files of packages, whose tests run against each mutant, the fastest first
 * @property {number} goal the least share of killed mutants, in percent
 */

/** @type {Readonly<Record<string, Target>>} */
export const targets = {
  ir: { package: "ir", tests: ["ir", "compiler/differentiate"], goal: 85 },
  compiler: {
    package: "compiler",
    files: ["propagate/**", "partition/**", "lower/**"],
    tests: ["propagate", "lower", "partition", "testing/worked-example.test.js", "explain", "optimize", "compile.test.js"].map(
      (tests) => `compiler/${tests}`,
    ),
    goal: 85,
  },
  optimizer: { package: "compiler", files: ["optimize/**", "rematerialize/**", "schedule/**"], tests: ["compiler"], goal: 75 },
  topology: { package: "topology", tests: ["topology"], goal: 75 },
  simulator: { package: "simulator", tests: ["simulator"], goal: 75 },
  training: { package: "training", tests: ["training"], goal: 75 },
  mixture: { package: "mixture", tests: ["mixture"], goal: 75 },
  "data-store": { package: "data-store", tests: ["data-store"], goal: 75 },
  data: { package: "data", tests: ["data"], goal: 75 },
  checkpoint: { package: "checkpoint", tests: ["checkpoint"], goal: 85 },
  recovery: {
    package: "trainer",
    files: ["execution/train-with-recovery.js", "execution/failure-counter.js"],
    tests: ["trainer", "fault-simulation"],
    goal: 85,
  },
};
