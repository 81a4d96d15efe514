/**
 * Runs the steps of the set-up as early as their needs allow. Downloads take the network and compilers take the cores, so they overlap:
 *
 *     packages ───────────────► opcodes ──► build
 *                                  └──────► kernels
 *     libtensorflow: prepare ──► run ────────┘
 *     redis: prepare ──────────► run
 *
 * `prepare` fills only the cache, because `npm ci` removes everything in node_modules.
 */

/**
 * @template S
 * @typedef {object} Step
 * @property {string} name
 * @property {readonly string[]} needs names of steps that end before this one begins; those that are not in the list are complete
 * @property {(session: S) => boolean} isReady whether the step is complete, judged from files alone
 * @property {(session: S, failure?: unknown) => Promise<void>} run `failure`: that of `prepare`, which the step reports without another try
 * @property {(session: S) => Promise<void>} [prepare] downloads ahead
 */

/**
 * Runs all steps that are not ready. After a failure, running steps end first, and steps that need the failed one do not begin.
 *
 * @template S
 * @param {S} session
 * @param {readonly Step<S>[]} steps a step comes after those that it needs
 * @param {{ always?: boolean }} [options] `always`: also the steps that are ready
 * @throws the error of the first step in the list that failed
 */
export async function runSteps(session, steps, { always = false } = {}) {
  const isWanted = (/** @type {Step<S>} */ step) => always || !step.isReady(session);
  /** @type {Map<string, Promise<void>>} */
  const ends = new Map();
  for (const step of steps) {
    const prepared = isWanted(step) ? step.prepare?.(session).then(none, (error) => error) : undefined;
    const needs = step.needs.flatMap((name) => ends.get(name) ?? []);
    ends.set(step.name, runAfter(needs, prepared, step));
  }
  const results = await Promise.allSettled(ends.values());
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;

  /** @param {readonly Promise<void>[]} needs @param {Promise<unknown> | undefined} prepared @param {Step<S>} step */
  async function runAfter(needs, prepared, step) {
    const [failure] = await Promise.all([prepared, ...needs]);
    // Now, because a step can undo another: npm removes the stamps of all steps.
    if (isWanted(step)) await step.run(session, failure);
  }
}

const none = () => undefined;
