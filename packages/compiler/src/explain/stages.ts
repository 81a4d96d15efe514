import { type Graph, type IdleIterations, regionsOf, type TickPart, tickParts, type Value, type ValueOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { bytesPerChip } from "../partition/index.js";
import type { Program } from "../program.js";

/** A stage of a pipeline in one part of its ticks. */
export interface ExplainedStage {
  readonly stage: number;
  readonly part: TickPart;
  /** Ticks that have the part, in which the stages compute at the same time. */
  readonly ticks: number;
  /** Those in which the stage has no microbatch. */
  readonly idle: number;
  /** The stage whose result of the tick before it needs; null if its input comes from no stage, or from several chips of all stages. */
  readonly waits_for: number | null;
  /** The collective that brings its input, and the bytes that a chip sends in it; null if the part needs nothing from other chips of `stage`. */
  readonly collective: { readonly op: string; readonly value: string; readonly bytes_per_chip: number } | null;
}

/** What each stage of a pipeline waits for, and how long it is idle; empty for a program without stages. */
export function explainStages({ chip }: Program): ExplainedStage[] {
  const idles = regionsOf(chip).flatMap(({ idle, count }) => (idle === undefined ? [] : [{ idle, count }]));
  const stages = Math.max(0, ...idles.flatMap(({ idle }) => Object.values(idle).map(({ length }) => length)));
  return Array.from({ length: stages }, (_, stage) =>
    tickParts.flatMap((part): ExplainedStage[] => {
      const own = idles.filter(({ idle }) => idle[part] !== undefined);
      if (own.length === 0) return [];
      const sum = (of: (range: { readonly idle: IdleIterations; readonly count: number }) => number): number =>
        own.reduce((n, range) => n + of(range), 0);
      return [
        {
          stage,
          part,
          ticks: sum(({ count }) => count),
          idle: sum(({ idle }) => idle[part]?.[stage] ?? 0),
          ...inputOf(chip, part, stage, stages),
        },
      ];
    }),
  ).flat();
}

/** The input of a stage: by a permute from the stage before (backward: after) it, or gathered from the chips of all stages. */
function inputOf({ values }: Graph, part: TickPart, stage: number, stages: number): Pick<ExplainedStage, "waits_for" | "collective"> {
  // Permutes of a block, such as those of windows, move positions.
  const isOfPart = ({ scope }: Value): boolean => scope.tick === part && scope.block === undefined;
  const permute = values.find((value): value is ValueOf<"collective_permute"> => value.op === "collective_permute" && isOfPart(value));
  if (permute === undefined) return { waits_for: null, collective: null };
  const from = stage - permute.attrs.by;
  if (from >= 0 && from < stages) return { waits_for: from, collective: collectiveOf(values, permute) };
  const entering = values
    .filter(isOfPart)
    .flatMap(({ inputs }) => inputs.map((id) => ensure(values[id], "operand")))
    .find(({ op, attrs }) => op === "all_gather" && "axes" in attrs && attrs.axes.some((axis) => permute.attrs.axes.includes(axis)));
  return { waits_for: null, collective: entering === undefined ? null : collectiveOf(values, entering) };
}

const collectiveOf = (values: readonly Value[], value: Value): NonNullable<ExplainedStage["collective"]> => ({
  op: value.op,
  value: value.name,
  bytes_per_chip: bytesPerChip(value, ensure(values[ensure(value.inputs[0], "operand")], "operand")),
});
