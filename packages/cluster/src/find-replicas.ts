import { type ReplicaName, type UpdateCount, type WorkerRank, ranksOf } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";

/** A state of which every block has a replica. */
export interface FoundReplicas {
  readonly step: UpdateCount;
  /** For each worker: the workers that have a replica of its blocks, ascending. */
  readonly holders: ReadonlyMap<WorkerRank, readonly WorkerRank[]>;
}

/**
 * The newest state, up to `latest`, of which the replicas of all blocks exist.
 *
 * @param group the layout of the blocks
 * @param replicas by worker: the replicas that it has
 */
export function findReplicas(
  group: Pick<ReplicaName, "workers" | "mesh">,
  latest: UpdateCount,
  replicas: readonly (readonly ReplicaName[])[],
): FoundReplicas | undefined {
  const bySteps = new Map<UpdateCount, Map<WorkerRank, WorkerRank[]>>();
  for (const holder of ranksOf(replicas.length))
    for (const { step, worker, workers, mesh } of ensure(replicas[holder], "replicas")) {
      if (workers !== group.workers || mesh !== group.mesh || step > latest) continue;
      const ofStep = bySteps.get(step) ?? new Map<WorkerRank, WorkerRank[]>();
      bySteps.set(step, ofStep.set(worker, [...(ofStep.get(worker) ?? []), holder]));
    }
  let newest: FoundReplicas | undefined;
  for (const [step, holders] of bySteps)
    if (holders.size === group.workers && (newest === undefined || step > newest.step)) newest = { step, holders };
  return newest;
}
