import { gemmaLogicalAxes } from "@lapidary/models";
import { LapidaryError, suggest } from "@lapidary/std";
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

/** The rules of a job that gives none: an entry for every logical axis. */
export function defaultRules(mesh: Mesh): Record<string, string[]> {
  const has = new Set(mesh.axes.map(({ name }) => name));
  return Object.fromEntries(gemmaLogicalAxes.map((axis) => [axis, (defaults[axis] ?? []).filter((name) => has.has(name))]));
}

/**
 * The rules of a job laid over the defaults, one entry for every logical axis.
 *
 * @throws LapidaryError for logical axes that no tensor has and mesh axes that the mesh lacks
 */
export function resolveRules(rules: JobFile["rules"], mesh: Mesh, source: YamlSource): Record<string, string[]> {
  const resolved = defaultRules(mesh);
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
