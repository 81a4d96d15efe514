import { compile, type Program } from "@lapidary/compiler";
import { type GivenShardings, givenShardings, type ImportedStep, importStep, meshOfStep } from "@lapidary/stablehlo";
import { ensure } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";

/** What a user states about an imported step besides its text. */
export interface ImportedOptions {
  /** Axes of the mesh, for a text that has none. */
  readonly mesh?: Readonly<Record<string, number>>;
  /** Shardings of arguments: for each dim its axes. */
  readonly shardings?: ReadonlyMap<string, readonly (readonly string[])[]>;
  /** Collectives of at most so many bytes are joined. */
  readonly bucketBytes?: number;
}

/** Axes as a list, major to minor. */
const axesOf = (axes: Readonly<Record<string, number>> = {}): { name: string; size: number }[] =>
  Object.entries(axes).map(([name, size]) => ({ name, size }));

/** An imported step, compiled for its mesh. */
export interface CompiledImport {
  readonly step: ImportedStep;
  readonly mesh: Mesh;
  readonly given: GivenShardings;
  readonly program: Program;
}

/**
 * Reads, converts and compiles the text of a step.
 *
 * @param file the location in errors
 */
export function compileImported(
  text: string,
  file: string,
  { mesh: axes, shardings, bucketBytes = 0 }: ImportedOptions = {},
): CompiledImport {
  const step = importStep(text, file, undefined, axesOf(axes));
  const mesh = meshOfStep(step, file, axes);
  const given = givenShardings(step, mesh, file, shardings);
  const compiled = (constraints: GivenShardings["constraints"], open: GivenShardings["open"]): Program =>
    compile(step.graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints, open, bucketBytes, verify: false });
  const first = compiled(given.constraints, given.open);
  const settled = settledStates(step, first, given);
  return { step, mesh, given, program: settled === undefined ? first : compiled(settled.constraints, settled.open) };
}

/**
 * Shardings with which every result has the sharding of the argument that it renews, because the next step reads it there. Undefined if that holds
 * already. The argument keeps the sharding that the compiler chose for it.
 */
function settledStates({ arguments: args, results }: ImportedStep, { global }: Program, given: GivenShardings): GivenShardings | undefined {
  const shardings = new Map(global.values.map(({ name, sharding }) => [name, ensure(sharding, name)]));
  const constraints = new Map(given.constraints);
  const open = new Map(given.open);
  let isSettled = true;
  for (const { renews, value } of results) {
    const argument = renews === undefined ? undefined : args[renews];
    if (argument === undefined) continue;
    const [before, after] = [ensure(shardings.get(argument.name), argument.name), ensure(shardings.get(value), value)];
    if (JSON.stringify(before.dims) === JSON.stringify(after.dims)) continue;
    isSettled = false;
    for (const name of [argument.name, value]) {
      constraints.set(name, before);
      open.delete(name);
    }
  }
  return isSettled ? undefined : { constraints, open, free: given.free };
}
