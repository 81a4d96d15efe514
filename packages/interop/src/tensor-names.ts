/**
 * Tools wrap a model and save its tensors under longer or shorter names. A renaming maps the names of the parameters to the names in a file:
 *
 *     parameter   model.layers.0.mlp.up_proj.weight
 *     file        module.model.layers.0.mlp.up_proj.weight      excess "module."          DistributedDataParallel
 *                 layers.0.mlp.up_proj.weight                   missing "model."          the bare model class
 *                 module.layers.0.mlp.up_proj.weight            both
 *                 model.layers.0._orig_mod.mlp.up_proj.weight   wrapper within            torch.compile of each layer
 */
export interface Renaming {
  /** The extra prefix of the names in the file. */
  readonly excess: string;
  /** The prefix that the names in the file lack. */
  readonly missing: string;
  /** Segments of wrappers, which are removed at any position. */
  readonly wrappers: readonly string[];
  /** Name of a parameter → name in the file, for the parameters in the file. */
  readonly stored: ReadonlyMap<string, string>;
}

/** Names of the wrapper modules of torch. */
const wrapperSegments: ReadonlySet<string> = new Set([
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
  "_fpw_module",
  "module",
]);

/** Maximum number of prefixes to try: a file of weights has one or two. */
const maxCandidates = 64;

/** The renaming that finds the most parameters in the file; the identity if none finds any. */
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

/** Name without wrapper segments → name. If two names become equal, no name is changed. */
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

/** Candidate prefixes: from each name of the file that ends with the first or last parameter, or with its part after a dot. */
function candidatesOf(params: readonly string[], names: ReadonlyMap<string, string>): [excess: string, missing: string][] {
  const candidates = new Map<string, [string, string]>([["/", ["", ""]]]);
  // The embedding may be stored as the head, so the last parameter is tried too: few other tensors end with the name of the final norm.
  for (const param of [params[0] ?? "", params.at(-1) ?? ""]) {
    const segments = param.split(".");
    // At least two segments, because ".weight" alone matches every tensor.
    for (let cut = 0; cut <= Math.max(0, segments.length - 2); cut++) {
      const ending = segments.slice(cut).join(".");
      const missing = cut === 0 ? "" : `${segments.slice(0, cut).join(".")}.`;
      for (const name of names.keys()) {
        const excess = name.slice(0, Math.max(0, name.length - ending.length));
        if (name === `${excess}${ending}` && (excess === "" || excess.endsWith(".")))
          candidates.set(`${excess}/${missing}`, [excess, missing]);
        if (candidates.size === maxCandidates) return [...candidates.values()];
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

/** The parameter name of a tensor of the file; undefined if its name lacks the prefix. */
export function originalName(name: string, { excess, missing, wrappers }: Renaming): string | undefined {
  const plain = name
    .split(".")
    .filter((segment) => !wrappers.includes(segment))
    .join(".");
  if (!plain.startsWith(excess)) return undefined;
  const rest = plain.slice(excess.length);
  return rest === "lm_head.weight" || rest.startsWith(missing) ? rest : `${missing}${rest}`;
}

/** Whether names are read unchanged. */
export const isIdentity = ({ excess, missing, wrappers }: Renaming): boolean => excess === "" && missing === "" && wrappers.length === 0;

/** "have the extra prefix "module."", for messages. */
export function describeRenaming({ excess, missing, wrappers }: Renaming): string {
  const parts = [
    ...(excess === "" ? [] : [`have the extra prefix ${JSON.stringify(excess)}`]),
    ...(missing === "" ? [] : [`lack the prefix ${JSON.stringify(missing)}`]),
    ...(wrappers.length === 0 ? [] : [`have the extra wrapper segments ${wrappers.map((one) => JSON.stringify(one)).join(", ")}`]),
  ];
  return parts.join(" and ");
}
