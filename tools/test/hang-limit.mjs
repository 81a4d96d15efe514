/**
 * Loaded before the tests of `npm test`. A time limit only ends a test that hangs. A busy machine is slow, and a slow test must not fail, so every
 * limit is at least `hangLimit_ms`. The limits in the files are for a developer who runs one file on a machine with free cores.
 */
export const hangLimit_ms = 10 * 60_000;

/** @param {import("mocha").Suite} suite */
function raise(suite) {
  /** @type {any} mocha does not declare the lists of hooks */
  const { _beforeAll, _beforeEach, _afterEach, _afterAll } = suite;
  for (const runnable of [...suite.tests, ..._beforeAll, ..._beforeEach, ..._afterEach, ..._afterAll])
    if (runnable.timeout() !== 0) runnable.timeout(Math.max(runnable.timeout(), hangLimit_ms));
  for (const child of suite.suites) raise(child);
}

export const mochaHooks = {
  /** @this {import("mocha").Context} */
  beforeAll() {
    const suite = this.test?.parent;
    if (suite !== undefined) raise(suite);
  },
};
