/** The machine that an export is launched on. */
export interface LaunchTarget {
  /** Name of the Kubernetes object and of the Slurm job. */
  readonly name: string;
  /** Number of slices, connected by the data-center network. */
  readonly slices: number;
  /** Extent of each slice, `16x16`. */
  readonly topology: string;
  /** Chips of one slice. */
  readonly chipsPerSlice: number;
  readonly jaxVersion: string;
  readonly orbaxVersion: string;
  /** Steps between checkpoints. */
  readonly checkpointEvery: number;
}

/** Slices that Google Kubernetes Engine offers for v5e. */
const v5eTopologies: ReadonlySet<string> = new Set(["1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"]);
const gpusPerNode = 8;

/** A valid name of a Kubernetes object: a-z, 0-9 and dashes, short enough for the suffixes that JobSet adds. */
export const objectName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .slice(0, 40)
    .replace(/^-+|-+$/g, "") || "job";

/** The topology as GKE names it: the smaller dimension first. */
function v5eTopology(topology: string): string {
  return topology
    .split("x")
    .map(Number)
    .sort((a, b) => a - b)
    .join("x");
}

/**
 * A Kubernetes JobSet for TPU v5e on GKE: one job per slice, one pod per host. GKE gives each pod its slice and its peers in
 * environment variables, which `jax.distributed.initialize()` reads.
 */
export function jobSet({ name, slices, topology, chipsPerSlice, jaxVersion, orbaxVersion, checkpointEvery }: LaunchTarget): string {
  // A single-host slice has up to 8 chips; a multi-host slice has 4 chips per host.
  const chipsPerHost = chipsPerSlice <= 8 ? chipsPerSlice : 4;
  const hosts = chipsPerSlice / chipsPerHost;
  const extent = v5eTopology(topology);
  const warning = v5eTopologies.has(extent)
    ? ""
    : `# v5e has no slice of ${extent}: export the job for one of ${[...v5eTopologies].join(", ")}.\n`;
  return `# ${slices} ${slices === 1 ? "slice" : "slices"} of ${extent} TPU v5e chips, ${hosts} ${hosts === 1 ? "host" : "hosts"} each. Requires JobSet (https://jobset.sigs.k8s.io).
# Put this directory on a volume that all pods can write, set claimName below, then: kubectl apply -f jobset.yaml
${warning}apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: ${objectName(name)}
  annotations:
    # One job per node pool: a slice is never shared.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    # All slices restart and resume from the last checkpoint.
    maxRestarts: 10
  replicatedJobs:
    - name: slice
      replicas: ${slices}
      template:
        spec:
          parallelism: ${hosts}
          completions: ${hosts}
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              hostNetwork: true
              dnsPolicy: ClusterFirstWithHostNet
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: tpu-v5-lite-podslice
                cloud.google.com/gke-tpu-topology: ${extent}
              containers:
                - name: train
                  image: python:3.12-slim
                  command: ["/bin/bash", "-c"]
                  args:
                    - |
                      set -euo pipefail
                      pip install --quiet 'jax[tpu]==${jaxVersion}' 'orbax-checkpoint==${orbaxVersion}'
                      exec python /export/run.py --text whole --devices all --distributed --resume --checkpoint-every ${checkpointEvery}
                  ports:
                    - containerPort: 8471
                    - containerPort: 8080
                  resources:
                    requests:
                      google.com/tpu: ${chipsPerHost}
                    limits:
                      google.com/tpu: ${chipsPerHost}
                  volumeMounts:
                    - name: export
                      mountPath: /export
              volumes:
                - name: export
                  persistentVolumeClaim:
                    claimName: lapidary-export
`;
}

/** A Slurm batch script for GPU nodes: one process per GPU, as JAX expects. */
export function slurmScript({ name, slices, chipsPerSlice, checkpointEvery }: LaunchTarget): string {
  const tasks = slices * chipsPerSlice;
  const perNode = tasks % gpusPerNode === 0 ? gpusPerNode : tasks < gpusPerNode ? tasks : 1;
  return `#!/bin/bash
# ${tasks} GPUs, one process each. Run in this directory, on a file system that all nodes share: sbatch job.sbatch
# PYTHON is the interpreter with the packages of requirements.txt. DRY_RUN=1 bash job.sbatch verifies the export and prints the command.
#SBATCH --job-name=${objectName(name)}
#SBATCH --nodes=${Math.ceil(tasks / perNode)}
#SBATCH --ntasks=${tasks}
#SBATCH --ntasks-per-node=${perNode}
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

cd "\${SLURM_SUBMIT_DIR:-$(dirname "\${BASH_SOURCE[0]}")}"
python="\${PYTHON:-python3}"
command=("$python" run.py --text whole --devices all --distributed --resume --checkpoint-every ${checkpointEvery})

if [[ -n "\${DRY_RUN:-}" ]]; then
  "$python" run.py --check
  echo srun --kill-on-bad-exit=1 "\${command[@]}"
  exit 0
fi
exec srun --kill-on-bad-exit=1 "\${command[@]}"
`;
}
