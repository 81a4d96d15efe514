import { ensure } from "@lapidary/std";
import { type AtomId, parseAtoms } from "@lapidary/topology";
import { type Graph, type Value, ops } from "@lapidary/ir";
import { dcnRatePerChip } from "../chip/chip-spec.js";
import { permuteStages } from "./permute.js";
import type { Resource, Stage } from "./stage.js";
import { type GroupSpan, type Placement, spanOf } from "./placement.js";

export type { Resource, Stage } from "./stage.js";

export type CollectiveValue = Extract<Value, { op: "all_gather" | "reduce_scatter" | "all_reduce" | "all_to_all" | "collective_permute" }>;
/** The collectives in which all members of a group exchange data. */
export type GroupCollective = Exclude<CollectiveValue["op"], "collective_permute">;
export const isCollective = (value: Value): value is CollectiveValue => ops[value.op].communicates;

export const atomsOf = (placement: Placement, value: CollectiveValue): AtomId[] => parseAtoms(placement.mesh, value.attrs.axes);

/**
 * The stages of a collective, one after another.
 *
 * @param bytes of a value on links
 */
export function collectiveStages(placement: Placement, graph: Graph, value: CollectiveValue, bytes: (value: Value) => number): Stage[] {
  const operand = ensure(graph.values[ensure(value.inputs[0], "operand")], "operand");
  if (value.op === "collective_permute") return permuteStages(placement, value, operand, sentBytes(operand, value, bytes));
  // The sent data has the type of the result, because a weight is converted before it is gathered.
  const whole = value.op === "all_gather" ? bytes(value) : sentBytes(operand, value, bytes);
  return stagesOf(placement, value.op, whole, spanOf(placement, atomsOf(placement, value)));
}

const sentBytes = (operand: Value, value: Value, bytes: (value: Value) => number): number =>
  Math.min(bytes(operand), bytes({ ...operand, op: value.op, scope: value.scope, role: value.role } as Value));

/**
 * Stages of a collective over a group that may span pods, by the formulas of "How to Scale Your Model", in bytes that a chip sends.
 *
 *     all_gather       pods first, while parts are small, then the torus       whole: bytes of the gathered array
 *     reduce_scatter   the torus first, then pods on what is left              whole: bytes before
 *     all_reduce       reduce_scatter on the torus, all_reduce between pods of each chip's part, all_gather on the torus
 *     all_to_all       the torus, then pods                                    whole: bytes of a chip's part
 */
export function stagesOf(placement: Placement, op: GroupCollective, whole: number, span: GroupSpan): Stage[] {
  const { pods, chips } = span;
  const torus = (bytes: number, times: number): Stage[] =>
    chips === 1 ? [] : [torusStage(placement, span, (bytes * (chips - 1)) / chips, times)];
  const between = (bytes: number, times: number): Stage[] =>
    pods === 1 ? [] : [dcnStage(placement, pods, (bytes * (pods - 1)) / pods, times)];
  switch (op) {
    case "all_gather":
      return [...between(whole / chips, 1), ...torus(whole, 1)];
    case "reduce_scatter":
      return [...torus(whole, 1), ...between(whole / chips, 1)];
    case "all_reduce":
      return pods === 1 ? torus(whole, 2) : [...torus(whole, 1), ...between(whole / chips, 2), ...torus(whole, 1)];
    case "all_to_all": {
      const [stage] = torus(whole, 1);
      // A quarter of an all_gather of the group's arrays: the mean distance is a quarter of the ring, in both directions.
      return [...(stage === undefined ? [] : [{ ...stage, seconds: (stage.seconds * chips) / 4 }]), ...between(whole, 1)];
    }
  }
}

/** A stage on all dims of the torus at the same time. The share of each dim in the bytes is proportional to its rate. */
function torusStage({ chip }: Placement, { torus }: GroupSpan, bytes: number, times: number): Stage {
  const rate = torus.reduce((sum, span) => sum + span.rate, 0);
  const hops = torus.reduce((sum, span) => sum + span.hops, 0);
  return {
    resources: torus.map(({ dim }): Resource => `ici${dim}`),
    bytes: bytes * times,
    seconds: (bytes * times) / rate,
    latency: hops * chip.ici.hop_s * times,
  };
}

/** A stage between pods by halving and doubling: one message for each doubling of the pods. */
function dcnStage({ chip }: Placement, pods: number, bytes: number, times: number): Stage {
  return {
    resources: ["dcn"],
    bytes: bytes * times,
    seconds: (bytes * times) / (dcnRatePerChip(chip) * chip.calibrated.dcn_efficiency),
    latency: Math.ceil(Math.log2(pods)) * chip.host.dcn_latency_s * times,
  };
}

/** A stage between a chip and its host. */
export const hostStage = ({ chip }: Placement, resource: "to_host" | "from_host", bytes: number): Stage => ({
  resources: [resource],
  bytes,
  seconds: bytes / chip.host.pcie_bytes_per_s,
  latency: 0,
});

/** Seconds of stages without other transfers. */
export const uncontendedSeconds = (stages: readonly Stage[]): number =>
  stages.reduce((sum, { seconds, latency }) => sum + Math.max(seconds, latency), 0);
