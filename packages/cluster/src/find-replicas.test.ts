import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type ReplicaName, updateCount, workerRank } from "@lapidary/protocol";
import { findReplicas } from "./find-replicas.js";

const mesh = "data=3";
const replica = (step: number, worker: number, more: Partial<ReplicaName> = {}): ReplicaName => ({
  step: updateCount(step),
  worker: workerRank(worker),
  workers: 3,
  mesh,
  ...more,
});
const newest = (latest: number, ...replicas: ReplicaName[][]): ReturnType<typeof findReplicas> =>
  findReplicas({ workers: 3, mesh }, updateCount(latest), replicas);

describe("the replicas that a group restores from", () => {
  it("findReplicas returns the newest state of which every block has a replica, with all workers that have it", () => {
    const found = newest(
      9,
      [replica(4, 0), replica(4, 2), replica(5, 0)],
      [replica(4, 1), replica(4, 0), replica(5, 1)],
      [replica(3, 0), replica(3, 1), replica(3, 2)],
    );
    strictEqual(found?.step, 4);
    deepStrictEqual(
      [...found.holders].sort(([a], [b]) => a - b),
      [
        [0, [0, 1]],
        [1, [1]],
        [2, [0]],
      ],
    );
  });

  it("findReplicas ignores states above the limit, and blocks of other layouts", () => {
    const whole = (step: number, more: Partial<ReplicaName> = {}): ReplicaName[] => [0, 1, 2].map((worker) => replica(step, worker, more));
    strictEqual(newest(4, whole(3), whole(5), [])?.step, 3);
    strictEqual(newest(9, whole(3, { workers: 2 }), [], []), undefined);
    strictEqual(newest(9, whole(3, { mesh: "model=3" }), [], []), undefined);
    strictEqual(newest(9, [replica(3, 0), replica(3, 1)], [], [replica(3, 1)]), undefined);
  });
});
