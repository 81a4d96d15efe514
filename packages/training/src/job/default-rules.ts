import { gemmaLogicalAxes, type ParamSpec } from "@lapidary/models";
import { LapidaryError, must, suggest } from "@lapidary/std";
import { axisAtoms, type Mesh } from "@lapidary/topology";
import type { JobFile } from "./job-schema.js";
import { podAxis } from "./resolved-job.js";
import type { YamlSource } from "./yaml-source.js";

/** Where logical axes go unless a job says otherwise, as far as the mesh has these axes. */
const defaults: Readonly<Record<string, readonly string[]>> = {
  batch: [podAxis, "data"],
  heads: ["model"],
  kv_heads: ["model"],
  mlp: ["model"],
  vocab: ["model"],
};

/**
 * The rules of a job that gives none: an entry for every logical axis. What the model's dims do not let a mesh axis split
 * (3 heads over model=4) is left whole; where a part of the axis divides them, the compiler splits by that part.
 */
export function defaultRules(mesh: Mesh, params: readonly ParamSpec[]): Record<string, string[]> {
  const has = new Set(mesh.axes.map(({ name }) => name));
  const units = unitsOf(params);
  const splits = (logical: string, axis: string): boolean => {
    const first = mesh.atoms.find((atom) => atom.axis === axis)?.size ?? 1;
    return (units.get(logical) ?? []).every((n) => n % first === 0);
  };
  return Object.fromEntries(
    gemmaLogicalAxes.map((logical) => [logical, (defaults[logical] ?? []).filter((axis) => has.has(axis) && splits(logical, axis))]),
  );
}

/** By logical axis, how many units the dims have that carry it. */
function unitsOf(params: readonly ParamSpec[]): Map<string, number[]> {
  const units = new Map<string, number[]>();
  for (const { dims, logicalAxes } of params)
    logicalAxes.forEach((text, d) => {
      const [logical = "", count] = (text ?? "").split("/");
      units.set(logical, [...(units.get(logical) ?? []), count === undefined ? must(dims[d], "dim") : Number(count)]);
    });
  return units;
}

/**
 * The rules of a job laid over the defaults, one entry for every logical axis.
 *
 * @throws LapidaryError for logical axes that no tensor has and mesh axes that the mesh lacks
 */
export function resolveRules(
  rules: JobFile["rules"],
  mesh: Mesh,
  params: readonly ParamSpec[],
  source: YamlSource,
): Record<string, string[]> {
  const resolved = defaultRules(mesh, params);
  for (const [axis, rule] of Object.entries(rules)) {
    const place = source.placeOf(["rules", axis]);
    if (!Object.hasOwn(resolved, axis)) {
      const near = suggest(axis, gemmaLogicalAxes);
      throw new LapidaryError({
        code: "LAP_RULE_UNKNOWN",
        message: `no tensor has a logical axis "${axis}"`,
        place,
        remedy: near === undefined ? `logical axes are ${gemmaLogicalAxes.join(", ")}` : `did you mean "${near}"?`,
        exit: 2,
      });
    }
    const axes = rule === null ? [] : [rule].flat();
    for (const name of axes) axisAtoms(mesh, name, place);
    if (new Set(axes).size !== axes.length)
      throw new LapidaryError({
        code: "LAP_RULE_AXIS_TWICE",
        message: `the rule for ${axis} names a mesh axis twice`,
        place,
        remedy: "name each mesh axis once",
        exit: 2,
      });
    resolved[axis] = axes;
  }
  return resolved;
}
