import { bytesPerChip, collectiveGroups, explainValue, liveBytes, type MemoryPlan, type Program } from "@lapidary/compiler";
import { collectiveNames, globalDims, type Graph, ops, parametersOf, printSharding, sizeOf, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { meshSize, printMesh } from "@lapidary/topology";
import { linkBytes } from "./link-bytes.js";
import {
  type ExplainedState,
  memoryClassNames,
  type ProgramView,
  type ViewCollective,
  type ViewMemory,
  type ViewValue,
} from "@lapidary/api/program-view";
import { usableHbm, utilisation } from "@lapidary/simulator";
import type { ViewMachine } from "./machine.js";
import { type StepTimes, stepTimes } from "./step-times.js";
import { axisOf, flopsOf, operandOf } from "./values.js";

/** Points of the memory curve: more would not be visible. */
const curvePoints = 480;
const largestBuffers = 40;

/** The axes of the mesh map to the slice of the machine in row-major order, the first ones to its pods. */
export function makeProgramView(program: Program, machine: ViewMachine): ProgramView {
  const { mesh, chip, global } = program;
  const { slice } = machine;
  const times = stepTimes(program, machine);
  const { simulation } = times;
  const { tokens, weights: weightFlops, attention } = simulation.flops;
  const weights = parametersOf(global).filter(({ role }) => role === "param");
  return {
    version: 1,
    name: program.name,
    mesh: printMesh(mesh),
    chips: meshSize(mesh),
    parameters: weights.reduce((sum, { type }) => sum + sizeOf(type.dims), 0),
    values: viewValues(program, times),
    states: weights.map(({ attrs: { name } }) => explainedState(program, name, slice)),
    collectives: viewCollectives(program),
    memory: viewMemory(chip, simulation.memory, times, usableHbm(machine.chip)),
    timeline: {
      chip: machine.chip.name,
      compute: machine.compute,
      total_us: times.total_us,
      lanes: [...times.lanes],
      exposed_us: times.exposed_us,
    },
    step: {
      seconds: simulation.stepSeconds,
      tokens,
      mfu: utilisation(simulation, weightFlops + attention),
      mfu_causal: utilisation(simulation, weightFlops + attention / 2),
      calibrated: machine.chip.calibration !== undefined,
    },
    link_bytes: linkBytes(chip, slice),
  };
}

function viewValues(program: Program, times: StepTimes): ViewValue[] {
  const { chip, mesh } = program;
  const origins = new Map<string, Map<number, string>>();
  for (const value of program.global.values) {
    const roots = [...(program.propagated.origins[value.id] ?? [])].map(([atom, { root }]) => [atom, root] as const);
    origins.set(value.name, new Map(roots));
  }
  const seen = new Set<string>();
  return chip.values.flatMap((value): ViewValue[] => {
    const time = times.values.get(value.id);
    const isCollective = collectiveNames.has(value.op);
    // Ops without a time, and later versions of a value, add no information.
    if (value.op === "constant" || (time === undefined && value.op !== "parameter" && seen.has(value.name))) return [];
    seen.add(value.name);
    const sharding = ensure(value.sharding, "sharding");
    const roots = origins.get(value.name);
    const because = sharding.dims.map((atoms) => (atoms[0] === undefined ? null : (roots?.get(atoms[0]) ?? null)));
    const inputs = value.inputs.map((id) => ensure(chip.values[id], "operand"));
    const flops = isCollective || value.op === "parameter" ? 0 : flopsOf(value, inputs);
    return [
      {
        id: value.id,
        name: value.name,
        op: value.op,
        dtype: value.type.dtype,
        dims: globalDims(mesh, value.type.dims, sharding),
        local_dims: [...value.type.dims],
        sharding: printSharding(mesh, sharding),
        ...(value.role === undefined ? {} : { role: value.role }),
        ...(value.scope.phase === "forward" ? {} : { phase: value.scope.phase }),
        ...(value.logicalAxes === undefined ? {} : { logical_axes: [...value.logicalAxes] }),
        ...(because.some((root) => root !== null) ? { because } : {}),
        ...(value.cause === undefined ? {} : { why: value.cause }),
        ...(ops[value.op].communicates ? { axis: axisOf(value), bytes_sent: bytesPerChip(value, operandOf(chip.values, value)) } : {}),
        ...(flops > 0 ? { flops } : {}),
        ...(time === undefined
          ? {}
          : { lane: time.lane, start_us: rounded(time.start_us), duration_us: rounded(time.duration_us), bound: time.bound }),
      },
    ];
  });
}

function explainedState(program: Program, name: string, slice: readonly number[]): ExplainedState {
  const { dims, alternatives, conflicts } = explainValue(program, name, slice);
  return { name, decided_by: dims.map(({ decided_by }) => [...decided_by]), alternatives: [...alternatives], conflicts: [...conflicts] };
}

const viewCollectives = (program: Program): ViewCollective[] =>
  collectiveGroups(program).map(({ explained, first }) => ({ ...explained, first }));

function viewMemory(chip: Graph, plan: MemoryPlan, times: StepTimes, limit: number): ViewMemory {
  const steps = times.memory_at_us.length - 1;
  const { byClass } = liveBytes(plan.buffers, steps);
  // Index 0 of the live bytes is the time before the first step.
  const atOf = (step: number): number => times.memory_at_us[Math.max(0, Math.min(step, steps))] ?? 0;
  const last = steps + 1;
  const points = Math.min(curvePoints, last + 1);
  const edges = Array.from({ length: points }, (_, i) => Math.floor((i * (last + 1)) / points));
  const most = (list: readonly number[], i: number): number =>
    Math.max(...list.slice(edges[i], Math.max((edges[i] ?? 0) + 1, edges[i + 1] ?? last + 1)));
  const peakIndex = plan.peakStep + 1;
  const alive = plan.buffers.filter(({ from, to }) => from <= plan.peakStep && plan.peakStep <= to).sort((a, b) => b.bytes - a.bytes);
  return {
    limit_bytes: limit,
    peak_bytes: plan.peakBytes,
    peak_us: rounded(atOf(plan.peakStep)),
    at_peak: perClass((kind) => byClass[kind][peakIndex] ?? 0),
    peak_by_class: { ...plan.peakByClass },
    curve: {
      at_us: edges.map((edge) => rounded(atOf(edge - 1))),
      by_class: perClass((kind) => edges.map((_, i) => most(byClass[kind], i))),
    },
    largest: alive.slice(0, largestBuffers).map(({ value, kind, bytes, from, to }) => ({
      value,
      name: nameOf(ensure(chip.values[value], "value")),
      kind,
      bytes,
      from_us: rounded(atOf(from)),
      to_us: rounded(atOf(to)),
    })),
  };
}

const nameOf = ({ name, op, scope: { block } }: Value): string =>
  name === "" ? `${op} in ${block === undefined ? "the step" : `block ${block}`}` : name;

function perClass<T>(make: (kind: (typeof memoryClassNames)[number]) => T): Record<(typeof memoryClassNames)[number], T> {
  return Object.fromEntries(memoryClassNames.map((kind) => [kind, make(kind)])) as Record<(typeof memoryClassNames)[number], T>;
}

/** Nanoseconds are precise enough, and shorter to write. */
const rounded = (us: number): number => Math.round(us * 1000) / 1000;
