import { type ConfigSource, isRecord } from "./config-source.js";

/**
 * The order of mesh axes after overrides such as `mesh.context=4`. If overrides name all axes, the order is that of the overrides. If not,
 * an axis that the file lacks follows the axis of the override before it, or all axes if there is none.
 */
export function orderMesh(source: ConfigSource): void {
  const { mesh } = source.value;
  if (!isRecord(mesh)) return;
  const named = [...new Set(source.overriddenKeys(["mesh"]))].filter((axis) => Object.hasOwn(mesh, axis));
  const order = Object.keys(mesh).filter((axis) => !named.includes(axis) || source.has(["mesh", axis]));
  named.forEach((axis, i) => {
    if (order.includes(axis)) return;
    const before = i === 0 ? -1 : order.indexOf(named[i - 1] ?? "");
    order.splice(before < 0 ? order.length : before + 1, 0, axis);
  });
  const sorted = order.every((axis) => named.includes(axis)) ? named : order;
  source.value["mesh"] = Object.fromEntries(sorted.map((axis) => [axis, mesh[axis]]));
}
