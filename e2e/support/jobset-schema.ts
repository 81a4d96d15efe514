import type { CrdSchema } from "./crd.js";

const text: CrdSchema = { type: "string" };
const whole: CrdSchema = { type: "integer", minimum: 0 };
const texts: CrdSchema = { type: "array", items: text };
const labels: CrdSchema = { type: "object", additionalProperties: text };
const quantities: CrdSchema = { type: "object", additionalProperties: { "x-kubernetes-int-or-string": true } };
const object = (properties: Readonly<Record<string, CrdSchema>>, ...required: string[]): CrdSchema => ({
  type: "object",
  properties,
  required,
});
const list = (items: CrdSchema): CrdSchema => ({ type: "array", items });

const container = object(
  {
    name: text,
    image: text,
    command: texts,
    args: texts,
    ports: list(object({ containerPort: whole, name: text, protocol: text }, "containerPort")),
    resources: object({ limits: quantities, requests: quantities }),
    volumeMounts: list(object({ name: text, mountPath: text, readOnly: { type: "boolean" }, subPath: text }, "name", "mountPath")),
    env: list(object({ name: text, value: text }, "name")),
  },
  "name",
);

const pod = object(
  {
    restartPolicy: text,
    hostNetwork: { type: "boolean" },
    dnsPolicy: text,
    nodeSelector: labels,
    containers: list(container),
    volumes: list(
      object({ name: text, persistentVolumeClaim: object({ claimName: text, readOnly: { type: "boolean" } }, "claimName") }, "name"),
    ),
  },
  "containers",
);

const job = object(
  {
    parallelism: whole,
    completions: whole,
    backoffLimit: whole,
    completionMode: text,
    template: object({ metadata: object({ labels, annotations: labels }), spec: pod }),
  },
  "template",
);

/**
 * The fields of jobset.x-k8s.io/v1alpha2 that an export may use, with their types, from JobSet's API reference
 * (https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/) and those of batch/v1 Job and core/v1 PodSpec.
 */
export const jobSetSchema: CrdSchema = object(
  {
    apiVersion: { type: "string", enum: ["jobset.x-k8s.io/v1alpha2"] },
    kind: { type: "string", enum: ["JobSet"] },
    metadata: object({ name: { type: "string", pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" }, annotations: labels, labels }, "name"),
    spec: object({
      failurePolicy: object({ maxRestarts: whole, restartStrategy: { type: "string", enum: ["Recreate", "BlockingRecreate"] } }),
      replicatedJobs: list(
        object(
          { name: text, replicas: whole, template: object({ metadata: object({ labels, annotations: labels }), spec: job }) },
          "name",
          "template",
        ),
      ),
    }),
  },
  "apiVersion",
  "kind",
  "metadata",
  "spec",
);
