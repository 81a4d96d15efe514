/**
 * Tools wrap a model and save its tensors under longer or shorter names. A renaming says how the names of a file follow from those of the parameters:
 *
 *     parameter   model.layers.0.mlp.up_proj.weight
 *     file        module.model.layers.0.mlp.up_proj.weight      excess "module."          DistributedDataParallel
 *                 layers.0.mlp.up_proj.weight                   missing "model."          the bare model class
 *                 module.layers.0.mlp.up_proj.weight            both
 *                 model.layers.0._orig_mod.mlp.up_proj.weight   wrapper within            torch.compile of each layer
 */
export interface Renaming {
  /** What stands before the names in the file. */
  readonly excess: string;
  /** What the names in the file lack at their beginning. */
  readonly missing: string;
  /** Segments of wrappers that are taken out wherever they are. */
  readonly wrappers: readonly string[];
  /** Name of a parameter → name in the file, for those that the file has. */
  readonly stored: ReadonlyMap<string, string>;
}

/** Names that torch gives to the modules of its wrappers. */
const wrapperSegments: ReadonlySet<string> = new Set([
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
  "_fpw_module",
  "module",
]);

/** Different prefixes that are tried: a file of weights has one or two. */
const mostCandidates = 64;

/** The renaming under which the file has most of the parameters; the identity if it has none under any. */
export function renamingOf(params: readonly string[], names: readonly string[]): Renaming {
  const asStored = new Map(names.map((name) => [name, name]));
  let best = renamed(params, asStored, ["", ""], []);
  const [unwrapped, wrappers] = withoutWrappers(names);
  for (const [known, segments] of [
    [asStored, []],
    [unwrapped, wrappers],
  ] as const)
    for (const candidate of candidatesOf(params, known)) {
      if (best.stored.size === params.length) return best;
      const one = renamed(params, known, candidate, segments);
      if (one.stored.size > best.stored.size) best = one;
    }
  return best;
}

/** Name without wrapper segments → name; where two names become one, nothing is renamed. */
function withoutWrappers(names: readonly string[]): [ReadonlyMap<string, string>, string[]] {
  const found = new Set<string>();
  const unwrapped = new Map<string, string>();
  for (const name of names) {
    const segments = name.split(".");
    for (const segment of segments) if (wrapperSegments.has(segment)) found.add(segment);
    unwrapped.set(segments.filter((segment) => !wrapperSegments.has(segment)).join("."), name);
  }
  return unwrapped.size === names.length ? [unwrapped, [...found].sort()] : [new Map(names.map((name) => [name, name])), []];
}

/** What could stand before, or lack: wherever a name of the file ends like the first parameter, or like the rest of it after a dot. */
function candidatesOf(params: readonly string[], names: ReadonlyMap<string, string>): [excess: string, missing: string][] {
  const candidates = new Map<string, [string, string]>([["/", ["", ""]]]);
  // The embedding may be stored as the head: the norm at the end has a name that few other tensors end with.
  for (const param of [params[0] ?? "", params.at(-1) ?? ""]) {
    const segments = param.split(".");
    // At least two segments: ".weight" alone says nothing.
    for (let cut = 0; cut <= Math.max(0, segments.length - 2); cut++) {
      const ending = segments.slice(cut).join(".");
      const missing = cut === 0 ? "" : `${segments.slice(0, cut).join(".")}.`;
      for (const name of names.keys()) {
        const excess = name.slice(0, Math.max(0, name.length - ending.length));
        if (name === `${excess}${ending}` && (excess === "" || excess.endsWith(".")))
          candidates.set(`${excess}/${missing}`, [excess, missing]);
        if (candidates.size === mostCandidates) return [...candidates.values()];
      }
    }
  }
  return [...candidates.values()];
}

function renamed(
  params: readonly string[],
  names: ReadonlyMap<string, string>,
  [excess, missing]: readonly [excess: string, missing: string],
  wrappers: readonly string[],
): Renaming {
  const stored = new Map<string, string>();
  for (const param of params) {
    const short = missing !== "" && param.startsWith(missing) ? param.slice(missing.length) : param;
    const name = names.get(`${excess}${short}`);
    if (name !== undefined) stored.set(param, name);
  }
  return { excess, missing, wrappers, stored };
}

/** The name that a tensor of the file has among parameters; undefined if it does not bear the prefix. */
export function originalName(name: string, { excess, missing, wrappers }: Renaming): string | undefined {
  const plain = name
    .split(".")
    .filter((segment) => !wrappers.includes(segment))
    .join(".");
  if (!plain.startsWith(excess)) return undefined;
  const rest = plain.slice(excess.length);
  return rest === "lm_head.weight" || rest.startsWith(missing) ? rest : `${missing}${rest}`;
}

/** Whether names are read as they are. */
export const isIdentity = ({ excess, missing, wrappers }: Renaming): boolean => excess === "" && missing === "" && wrappers.length === 0;

/** "have the prefix "module." in excess", for messages. */
export function describeRenaming({ excess, missing, wrappers }: Renaming): string {
  const parts = [
    ...(excess === "" ? [] : [`have the prefix ${JSON.stringify(excess)} in excess`]),
    ...(missing === "" ? [] : [`lack the prefix ${JSON.stringify(missing)}`]),
    ...(wrappers.length === 0 ? [] : [`have the segments ${wrappers.map((one) => JSON.stringify(one)).join(", ")} of wrappers in excess`]),
  ];
  return parts.join(" and ");
}
