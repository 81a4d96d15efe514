import type { Sharding, TensorType } from "@lapidary/ir";
import { LapidaryError, suggest } from "@lapidary/std";
import { atomsSize, type Mesh, makeMesh, parseAtoms } from "@lapidary/topology";
import type { ImportedStep, StepArgument } from "./import-step.js";
import { type TextSharding } from "./sharding.js";

/** What the compiler must obey: shardings by name of a value, and the dims that it may split further. */
export interface GivenShardings {
  readonly constraints: ReadonlyMap<string, Sharding>;
  /** By name of a value, for each dim whether the compiler may split it further. */
  readonly open: ReadonlyMap<string, readonly boolean[]>;
  /** Arguments whose sharding neither the text nor the caller decides. */
  readonly free: readonly string[];
}

/** The mesh of a step: that of its text, or the given one. A text with a mesh accepts only an equal one. */
export function meshOfStep(step: ImportedStep, file: string, given: Readonly<Record<string, number>> = {}): Mesh {
  const asked = Object.entries(given).map(([name, size]) => ({ name, size }));
  const own = step.mesh?.map(({ name, size }) => ({ name: axisName(name), size }));
  if (own === undefined) return makeMesh(asked.length === 0 ? [{ name: "data", size: 1 }] : asked);
  const differs = asked.some(({ name, size }) => own.find((axis) => axis.name === name)?.size !== size);
  if (differs)
    throw new LapidaryError({
      code: "LAP_IMPORT_SHARDING",
      message: `the text is written for the mesh ${own.map(({ name, size }) => `${name}=${size}`).join(",")}`,
      location: file,
      remedy: "write the text again for the other mesh; an AbstractMesh needs no devices",
    });
  return makeMesh(own);
}

/** Axis names of JAX in the characters that a mesh allows. */
const axisName = (name: string): string => name.toLowerCase().replace(/[^a-z0-9_]/g, "_");

/** The shardings of a step on its mesh. `given` are those of the caller, by name of an argument or by its name in the user's program. */
export function givenShardings(
  step: ImportedStep,
  mesh: Mesh,
  file: string,
  given: ReadonlyMap<string, readonly (readonly string[])[]> = new Map(),
): GivenShardings {
  const constraints = new Map<string, Sharding>();
  const open = new Map<string, readonly boolean[]>();
  const types = new Map<string, TensorType>(step.graph.values.map((value) => [value.name, value.type]));
  const parameters = new Map(step.arguments.map((argument) => [argument.name, argument]));
  for (const [name, text] of step.constraints) {
    const type = types.get(name);
    if (type === undefined) continue;
    if (text.unsupported !== undefined) throw sharding(file, name, `${text.unsupported} in a sharding are not supported`);
    if (text.dims.length !== type.dims.length)
      throw sharding(file, name, `its sharding has ${text.dims.length} dims, and the array ${type.dims.length}`);
    constraints.set(name, shardingOn(mesh, type, text, file, name, parameters.has(name)));
    if (text.dims.some((dim) => dim.open))
      open.set(
        name,
        text.dims.map((dim) => dim.open),
      );
  }
  for (const [leaf, dims] of given) {
    const targets = step.arguments.filter((argument) => argument.name === leaf || argument.leaf === leaf);
    if (targets.length === 0) throw unknownArgument(step, file, leaf);
    for (const { name, type } of targets) {
      const text = { mesh: "", dims: dims.map((axes) => ({ axes, open: false })) };
      if (dims.length !== type.dims.length)
        throw sharding(file, leaf, `shard.${leaf} has ${dims.length} dims, and the array ${type.dims.length}`);
      constraints.set(name, shardingOn(mesh, type, text, file, name, true));
      open.delete(name);
    }
  }
  const free = step.arguments.filter(({ name }) => !constraints.has(name));
  for (const { name, type } of free)
    open.set(
      name,
      type.dims.map(() => true),
    );
  return { constraints, open, free: free.map(({ name }) => name) };
}

function shardingOn(mesh: Mesh, type: TensorType, text: TextSharding, file: string, name: string, strict: boolean): Sharding {
  const dims = text.dims.map(({ axes }, d) => {
    const atoms = parseAtoms(mesh, axes.map(subAxis));
    const size = type.dims[d] ?? 1;
    if (size % atomsSize(mesh, atoms) === 0) return atoms;
    if (strict)
      throw new LapidaryError({
        code: "LAP_MESH_INDIVISIBLE",
        message: `${axes.join("×")} = ${atomsSize(mesh, atoms)} does not divide dim ${d} of ${name}, which has ${size} elements`,
        location: `${file}: ${name}`,
        remedy: "use another mesh, or another size",
      });
    // Inside of the step XLA pads such an array. Here the axes that divide it split it.
    return atoms.filter((_, i) => size % atomsSize(mesh, atoms.slice(0, i + 1)) === 0);
  });
  return { dims, unreduced: [], reduction: "sum" };
}

const subAxis = (axis: string): string => {
  const [name = "", part] = axis.split(":");
  return axisName(name) + (part === undefined ? "" : `:${part}`);
};

const sharding = (file: string, name: string, message: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_IMPORT_SHARDING",
    message: `${name}: ${message}`,
    location: file,
    remedy: "state one entry for each dim: axes, or - for none",
  });

function unknownArgument(step: ImportedStep, file: string, leaf: string): LapidaryError {
  const near = nearest(leaf, step.arguments);
  const batch = step.arguments.filter(({ role }) => role === "batch").map(({ name }) => name);
  return new LapidaryError({
    code: "LAP_IMPORT_SHARDING",
    message: `the step has no argument "${leaf}"`,
    location: `${file}: shard.${leaf}`,
    remedy: `${near === undefined ? "" : `did you mean "${near}"? `}The batch is ${listed(batch)}; the state is ${listed(
      step.arguments.filter(({ role }) => role !== "batch").map(({ name }) => name),
    )}`,
  });
}

const listed = (names: readonly string[]): string =>
  names.length === 0 ? "empty" : `${names.slice(0, 8).join(", ")}${names.length > 8 ? `, … (${names.length})` : ""}`;

/** The argument whose name, or the end of it, resembles the given one. */
function nearest(leaf: string, args: readonly StepArgument[]): string | undefined {
  const close = suggest(
    leaf,
    args.flatMap((argument) => [argument.name, argument.leaf]),
  );
  const known = args.find((argument) => argument.name === close || argument.leaf === close);
  if (known !== undefined) return known.name;
  const last = (name: string): string =>
    name
      .split(/[.[\]'"]+/)
      .filter((part) => part !== "")
      .at(-1) ?? name;
  const end = suggest(
    last(leaf),
    args.map(({ name }) => last(name)),
  );
  return args.find(({ name }) => last(name) === end)?.name;
}
