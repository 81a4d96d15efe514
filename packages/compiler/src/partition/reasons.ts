import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, printAtoms } from "@lapidary/topology";
import type { Sharding, Value, ValueId, ValueOf } from "@lapidary/ir";
import { type Conflict, type Propagated, winnerText } from "../propagate/index.js";
import { Priority } from "../propagate/rules.js";

/** Propagated shardings, with their conflicts by op. */
export interface Causes extends Pick<Propagated, "graph" | "origins" | "opOrigins"> {
  readonly conflictsOf: ReadonlyMap<ValueId, readonly Conflict[]>;
}

export function causesOf({ graph, origins, opOrigins, conflicts }: Propagated): Causes {
  const conflictsOf = new Map<ValueId, Conflict[]>();
  for (const conflict of conflicts) {
    const known = conflictsOf.get(conflict.op);
    if (known === undefined) conflictsOf.set(conflict.op, [conflict]);
    else known.push(conflict);
  }
  return { graph, origins, opOrigins, conflictsOf };
}

/**
 * The cause of a collective, as one sentence: the array, the axes, the rule from which the sharding comes, and the request.
 *
 * @param value the value that is resharded
 * @param have sharding of the existing version
 * @param wanted requested sharding
 * @param request what needs the value: "multiply layers.0.attn.multiply", "the next params/w"
 */
export function reasonFor(
  causes: Causes,
  mesh: Mesh,
  value: Value,
  have: Sharding,
  wanted: Sharding,
  request: { readonly use?: Value; readonly text: string },
): string {
  const names = (atoms: readonly AtomId[]): string =>
    printAtoms(
      mesh,
      [...atoms].sort((a, b) => a - b),
    ).join("+");
  const reduced = have.unreduced.filter((atom) => !wanted.unreduced.includes(atom));
  if (reduced.length > 0) {
    const scattered = reduced.filter((atom) => wanted.dims.flat().includes(atom));
    const onto = wanted.dims.findIndex((dim) => dim.some((atom) => scattered.includes(atom)));
    const shape =
      scattered.length === 0
        ? `${request.text} needs the sum on every chip of ${names(reduced)}, so an all_reduce`
        : `${request.text} has dim ${onto} split over ${names(scattered)}, so a reduce_scatter${scattered.length < reduced.length ? ` and, over ${names(reduced.filter((atom) => !scattered.includes(atom)))}, an all_reduce` : ""}`;
    return `reduces the partial sums of ${value.name} over ${names(reduced)}: a summed dim is split there by ${rootOfReduction(causes, value, ensure(reduced[0], "atom"))}; ${shape}`;
  }
  const d = have.dims.findIndex((dim, i) => dim.some((atom) => wanted.dims[i]?.includes(atom) !== true));
  if (d < 0) return `takes this chip's part of ${value.name} for ${request.text}: no communication`;
  const surplus = (have.dims[d] ?? []).filter((atom) => wanted.dims[d]?.includes(atom) !== true);
  const root = causes.origins[value.id]?.get(ensure(surplus[0], "atom"))?.root ?? "propagation";
  const moved = wanted.dims.findIndex((dim) => surplus.every((atom) => dim.includes(atom)));
  if (moved >= 0) return `moves ${names(surplus)} of ${value.name} from dim ${d} (${root}) to dim ${moved}, as ${request.text} requires`;
  const conflict =
    request.use === undefined ? undefined : causes.conflictsOf.get(request.use.id)?.find((c) => c.tensor === value.id && c.dimension === d);
  const because =
    conflict === undefined || conflict.winner.kind === "wholeDim"
      ? ""
      : conflict.winner.kind === "claim" && conflict.winner.origin.priority === Priority.given
        ? `, because the op splits another dim over ${names(surplus)}, by ${winnerText(conflict.winner)}`
        : `, because the op uses ${names(surplus)} for ${winnerText(conflict.winner)}`;
  return `gathers dim ${d} of ${value.name} over ${names(surplus)}: it is split there by ${root}; ${request.text} needs it whole${because}`;
}

/** The cause of a collective_permute. */
export function permuteReason(mesh: Mesh, { name, attrs }: ValueOf<"shift">, atoms: readonly AtomId[]): string {
  const rows = Math.abs(attrs.by);
  const end = attrs.wrap ? "; the last rows go to the first chip" : "";
  return `moves dim ${attrs.dimension} of ${name} by ${rows} ${rows === 1 ? "row" : "rows"} ${attrs.by < 0 ? "back" : "on"}: it is split over ${printAtoms(mesh, atoms).join("+")}${end}`;
}

/**
 * The rule that split the summed dim. The search goes back through linear ops that propagated the partial sums, and visits each value once: in a
 * network of exchanges, such as that of a sort, the number of paths grows exponentially.
 */
function rootOfReduction(causes: Causes, value: Value, atom: AtomId, visited: Set<ValueId> = new Set()): string {
  visited.add(value.id);
  const own = causes.opOrigins[value.id]?.get(atom);
  if (own !== undefined) return own.root;
  for (const id of value.inputs) {
    const input = causes.graph.values[id];
    if (visited.has(id)) continue;
    if (input !== undefined && (causes.opOrigins[id]?.has(atom) === true || input.inputs.length > 0)) {
      const root = rootOfReduction(causes, input, atom, visited);
      if (root !== "propagation") return root;
    }
  }
  return "propagation";
}
