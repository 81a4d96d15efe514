import type { ViewValue } from "@lapidary/api/program-view";

/** The name of a weight without its collection: `params/model.norm.weight` → `model.norm.weight`. Other values keep their names. */
export const weightName = ({ name, role }: Pick<ViewValue, "name" | "role">): string =>
  role === "param" ? name.slice(name.indexOf("/") + 1) : name;

/** Names without the path that all of them share: `model.layers.0.w` and `model.norm` → `layers.0.w` and `norm`. */
export function withoutSharedPath(names: readonly string[]): string[] {
  const paths = names.map((name) => name.split("."));
  const [first = [], ...others] = paths;
  const differs = first.findIndex((part, i) => others.some((path) => path[i] !== part));
  const shared = differs < 0 ? first.length - 1 : differs;
  return paths.map((path) => path.slice(Math.min(shared, path.length - 1)).join("."));
}
