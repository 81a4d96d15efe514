import assert from "node:assert/strict";
import { runSteps } from "./schedule.mjs";

/** Steps that record what happens in `log`, and that wait until the test ends them. */
class Steps {
  /** @type {string[]} */
  log = [];
  /** What `run` got from `prepare`. @type {unknown[]} */
  failures = [];
  /** @type {Map<string, { resolve: () => void, reject: (error: Error) => void }>} */
  running = new Map();

  /** @param {string} name @param {readonly string[]} needs @param {{ prepare?: boolean, ready?: boolean }} [options] */
  step(name, needs, { prepare = false, ready = false } = {}) {
    const begin = (/** @type {string} */ what) => {
      this.log.push(what);
      return new Promise((/** @type {(value: void) => void} */ resolve, reject) =>
        this.running.set(what, { resolve: () => resolve(), reject }),
      );
    };
    return {
      name,
      needs,
      isReady: () => ready,
      run: (/** @type {unknown} */ _session, /** @type {unknown} */ failure) => {
        if (failure !== undefined) this.failures.push(failure);
        return begin(name);
      },
      ...(prepare ? { prepare: () => begin(`prepare ${name}`) } : {}),
    };
  }

  /** @param {string} what @param {Error} [error] */
  async end(what, error) {
    const found = this.running.get(what);
    assert.ok(found !== undefined, `${what} does not run`);
    if (error === undefined) found.resolve();
    else found.reject(error);
    await settled();
  }
}

/** Every step that can begin has begun. */
const settled = () => new Promise((done) => setImmediate(done));

describe("the schedule of the set-up", () => {
  it("steps overlap, and begin after those that they need", async () => {
    const steps = new Steps();
    const all = runSteps({}, [
      steps.step("a", []),
      steps.step("b", ["a"], { prepare: true }),
      steps.step("c", ["a"]),
      steps.step("d", ["b", "c"]),
    ]);
    await settled();
    assert.deepEqual([...steps.log].sort(), ["a", "prepare b"]);
    await steps.end("a");
    assert.deepEqual(steps.log.slice(2), ["c"]);
    await steps.end("prepare b");
    await steps.end("c");
    assert.deepEqual(steps.log.slice(3), ["b"]);
    await steps.end("b");
    await steps.end("d");
    await all;
  });

  it("a step that is ready does not run, unless it is asked for", async () => {
    const steps = new Steps();
    await runSteps({}, [steps.step("a", [], { ready: true, prepare: true })]);
    assert.deepEqual(steps.log, []);
    const all = runSteps({}, [steps.step("a", ["absent"], { ready: true })], { always: true });
    await settled();
    await steps.end("a");
    await all;
  });

  it("the failure of a download ahead is given to its step, which runs after its needs", async () => {
    const steps = new Steps();
    const all = runSteps({}, [steps.step("a", []), steps.step("b", ["a"], { prepare: true })]);
    const failure = new Error("no network");
    await steps.end("prepare b", failure);
    assert.deepEqual(steps.failures, []);
    await steps.end("a");
    assert.deepEqual(steps.failures, [failure]);
    await steps.end("b");
    await all;
  });

  it("after a failure, running steps end and no dependent step begins", async () => {
    const steps = new Steps();
    let isOver = false;
    const all = runSteps({}, [steps.step("a", []), steps.step("b", []), steps.step("c", ["a"])]);
    const failure = assert.rejects(all, /broken/).then(() => (isOver = true));
    await settled();
    await steps.end("a", new Error("broken"));
    assert.equal(isOver, false);
    await steps.end("b");
    await failure;
    assert.deepEqual(steps.log, ["a", "b"]);
  });
});
