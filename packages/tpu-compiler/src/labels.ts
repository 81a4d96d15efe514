import { primalName } from "@lapidary/compiler";
import { type Graph, parametersOf, type Phase, type Scope, type ValueRole } from "@lapidary/ir";

/** A part of the model, added over all layers (`layers.*.attn`, `logits`, `update`), and the pass. */
export type Label = readonly [name: string, phase: Phase];

/** A value, or a kernel: what its name, place in the model and role are. */
export interface Labelled {
  readonly name: string;
  readonly scope: Scope;
  readonly role?: ValueRole | undefined;
}

/** The label of a value. Kernels of the compiler and of Lapidary differ, so figures are compared by label. */
export function labelOf({ name, scope, role }: Labelled): Label {
  if (role === "param" || role === "gradient" || role === "optimizer") return ["weights", scope.phase];
  if (scope.phase === "update") return ["update", scope.phase];
  const path = primalName({ name, scope }).split(".");
  const at = scope.block === undefined ? -1 : path.indexOf(String(scope.block));
  return [at < 0 ? (path[0] ?? name) : [...path.slice(0, at), "*", path[at + 1] ?? ""].join("."), scope.phase];
}

/** A list of labels without repetition. A label is known by its index. */
export class LabelList {
  readonly labels: Label[] = [];
  readonly #at = new Map<string, number>();

  indexOf(label: Label): number {
    const key = label.join(" ");
    const found = this.#at.get(key);
    if (found !== undefined) return found;
    this.#at.set(key, this.labels.length);
    return this.labels.push(label) - 1;
  }

  /** The labels of a module's locations: of every value by id, and of every argument by name. */
  ofGraph(graph: Graph): { readonly values: readonly number[]; readonly arguments: Readonly<Record<string, number>> } {
    return {
      values: graph.values.map((value) => this.indexOf(labelOf(value))),
      arguments: Object.fromEntries(parametersOf(graph).map((value) => [value.attrs.name, this.indexOf(labelOf(value))])),
    };
  }
}
