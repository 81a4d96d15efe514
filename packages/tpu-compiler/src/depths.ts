import { type Program, summarizeCollectives } from "@lapidary/compiler";

/** Two numbers of layers, from which every figure of a model with more equal layers is extrapolated. */
export type Depths = readonly [number, number];

/** The compiler schedules the first and the last layers unlike the others, so the smaller model has both kinds. */
export const shallowDepths: Depths = [4, 6];
/** Models with fewer layers are compiled as they are. */
const fewestLayers = 9;
/** Largest deviation of a figure from the line, relative to the figure. */
const tolerance = 1e-3;

/**
 * The programs of a step with few layers, if the plan of the full step is on the line through both: number of values, peak of memory, and bytes of
 * every collective. Otherwise the step does not consist of equal layers, and every layer must be compiled.
 *
 * @param full the program of the step with `layers` layers
 * @param programAt compiles the step with another number of layers
 */
export function shallowPrograms(
  full: Program,
  layers: number,
  programAt: (layers: number) => Program,
  depths: Depths = shallowDepths,
): readonly { readonly layers: number; readonly program: Program }[] {
  if (layers < fewestLayers) return [];
  const shallow = depths.map((depth) => ({ layers: depth, program: programAt(depth) }));
  const [a, b] = shallow.map(({ program }) => figuresOf(program));
  if (a === undefined || b === undefined) return [];
  const wanted = figuresOf(full);
  const share = (layers - depths[0]) / (depths[1] - depths[0]);
  const names = new Set([...a.keys(), ...b.keys(), ...wanted.keys()]);
  const onLine = [...names].every((name) => {
    const [from, to, at] = [a, b, wanted].map((figures) => figures.get(name) ?? 0) as [number, number, number];
    return Math.abs(from + (to - from) * share - at) <= tolerance * at;
  });
  return onLine ? shallow : [];
}

function figuresOf({ chip, memory }: Program): ReadonlyMap<string, number> {
  return new Map([
    ["values", chip.values.length],
    ["peak", memory.peakBytes],
    ...summarizeCollectives(chip).flatMap(({ op, axis, count, bytes_per_chip }): [string, number][] => [
      [`${op} ${axis} count`, count],
      [`${op} ${axis} bytes`, bytes_per_chip],
    ]),
  ]);
}
