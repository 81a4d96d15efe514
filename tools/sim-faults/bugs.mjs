/**
 * Mistakes that the fault simulation must find. Each replaces one piece of text in one compiled file of a package. `patch.mjs` applies it when the
 * file is loaded, so the sources stay as they are.
 *
 * @typedef {{ readonly name: string, readonly kind: string, readonly file: string, readonly find: string, readonly replace: string }} Bug
 * `file` is a path below packages/; `find` occurs there exactly once
 * @type {readonly Bug[]}
 */
export const bugs = [
  {
    name: "a lost answer",
    kind: "messages",
    file: "worker/dist/runtime/serve.js",
    find: "    if (channel.isOpen)\n        channel.send(encodeAnswer(outgoing), parts);",
    replace:
      '    if (channel.isOpen && !(outgoing.kind === "reply" && message.kind === "copy"))\n        channel.send(encodeAnswer(outgoing), parts);',
  },
  {
    name: "a superseded attempt commits",
    kind: "epochs",
    file: "checkpoint/dist/run-fence.js",
    find: "if (newest > this.epoch)",
    replace: "if (false)",
  },
  {
    name: "an epoch is not durable",
    kind: "durability",
    file: "checkpoint/dist/run-fence.js",
    find: "disk.syncDirectoryNow(path);",
    replace: "void path;",
  },
  {
    name: "a step is committed twice",
    kind: "commits",
    file: "checkpoint/dist/step-log.js",
    find: "if (known !== undefined)\n            return false;",
    replace: "",
  },
  {
    name: "a checkpoint is written before its steps are synced",
    kind: "durability",
    file: "trainer/dist/execution/train-with-recovery.js",
    find: "this.#stepLog.sync();",
    replace: "",
  },
  {
    name: "a checkpoint is renamed before its files are synced",
    kind: "durability",
    file: "checkpoint/dist/checkpoint-store.js",
    find: "await files.sync();",
    replace: "",
  },
  {
    name: "reported steps are not durable before a checkpoint",
    kind: "durability",
    file: "trainer/dist/execution/train-with-recovery.js",
    find: "this.#options.events.sync();",
    replace: "",
  },
  {
    name: "an unreported step is dropped",
    kind: "recovery",
    file: "trainer/dist/execution/train-with-recovery.js",
    find: "Math.min(this.#stepLog.last, events.reported())",
    replace: "this.#stepLog.last",
  },
  {
    name: "a replica of an uncommitted step is restored",
    kind: "replicas",
    file: "trainer/dist/execution/run-programs.js",
    find: "restoreReplicas(updateCount(latest)",
    replace: "restoreReplicas(updateCount(latest + 1)",
  },
  {
    name: "the neighbour's replica has the number of another worker",
    kind: "replicas",
    file: "worker/dist/runtime/replicate.js",
    find: "worker: workerRank(previous) }",
    replace: "worker: workerRank(next) }",
  },
  {
    name: "a replica is not refreshed",
    kind: "replicas",
    file: "worker/dist/runtime/replica-store.js",
    find: "        this.#remove((held) => same(held.name, replica.name));\n        this.#replicas.push(replica);",
    replace:
      "        const old = this.#replicas.find(({ name }) => name.worker === replica.name.worker && replica.buffer === undefined);\n        this.#remove((held) => same(held.name, replica.name));\n        this.#replicas.push(old === undefined ? replica : { ...replica, bytes: old.bytes });",
  },
  {
    name: "an incomplete set of replicas is restored",
    kind: "replicas",
    file: "cluster/dist/find-replicas.js",
    find: "holders.size === group.workers",
    replace: "holders.size >= group.workers - 1",
  },
  {
    name: "a worker that does not load its kernels is not evicted",
    kind: "pool",
    file: "cluster/dist/worker-pool.js",
    find: '(waited_ms > limit_ms ? "not_ready" : undefined)',
    replace: "undefined",
  },
  {
    name: "fewer workers continue with steps that all workers have computed",
    kind: "regroup",
    file: "checkpoint/dist/step-log.js",
    find: "(before !== undefined && before.layout !== layout)",
    replace: "false",
  },
  {
    name: "a worker waits longer than its lease",
    kind: "leases",
    file: "worker/dist/runtime/failover.js",
    find: "clock.monotonic() < deadline",
    replace: "deadline > 0",
  },
  {
    name: "a suspended worker is not evicted",
    kind: "heartbeats",
    file: "fabric/dist/heartbeat.js",
    find: "if (this.#silentMs > this.#deadlineMs)",
    replace: "if (this.#silentMs > 1e9)",
  },
  {
    name: "a hanging worker is not evicted",
    kind: "heartbeats",
    file: "cluster/dist/stall-watch.js",
    find: "if (this.#idleMs <= limit)",
    replace: "if (this.#idleMs >= 0)",
  },
  {
    name: "a dead worker returns to the pool",
    kind: "pool",
    file: "cluster/dist/worker-pool.js",
    find: "if (!worker.isAlive || this.#closing)",
    replace: "if (this.#closing)",
  },
  {
    name: "a worker group does not return its workers",
    kind: "pool",
    file: "cluster/dist/worker-group.js",
    find: "this.#pool.release(worker);",
    replace: "",
  },
  {
    name: "the watch of a closed worker group continues",
    kind: "timers",
    file: "cluster/dist/worker-group.js",
    find: "        this.#closed = true;\n        this.#stall.stop();",
    replace: "        this.#closed = true;",
  },
  {
    name: "a run does not drain",
    kind: "drain",
    file: "trainer/dist/execution/training-loop.js",
    find: "step <= steps && drain?.aborted !== true",
    replace: "step <= steps",
  },
  {
    name: "an evaluation is reported twice",
    kind: "evaluation",
    file: "trainer/dist/execution/heldout-evaluations.js",
    find: "        if (this.#reported.has(step))\n            return;",
    replace: "",
  },
  {
    name: "an evaluation starts while steps are in flight",
    kind: "evaluation",
    file: "trainer/dist/execution/training-loop.js",
    find: "between === undefined && step < steps ? ahead : 1",
    replace: "step < steps ? ahead : 1",
  },
  {
    name: "a due evaluation is not made up after a failure",
    kind: "evaluation",
    file: "trainer/dist/execution/train-with-recovery.js",
    find: "await this.#catchUp(attempt, from.step);",
    replace: "this.#write(from.step);",
  },
  {
    name: "the order of a sum depends on the worker",
    kind: "collectives",
    file: "fabric/dist/collectives.js",
    find: "    const parts = group.map((peer) => (peer === peers.self",
    replace: "    const parts = [...group.slice(rank), ...group.slice(0, rank)].map((peer) => (peer === peers.self",
  },
  {
    name: "a superseded attempt reports an evaluation",
    kind: "epochs",
    file: "trainer/dist/execution/heldout-evaluations.js",
    find: "        fence.check();\n",
    replace: "",
  },
];
