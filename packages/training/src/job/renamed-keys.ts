import type { Warning } from "@lapidary/std";
import type { ConfigSource } from "./config-source.js";

/** A key of the job file that was renamed. The old key works for one release, with a warning. */
export interface RenamedKey {
  /** Dotted path, as in an override: `train.guard.most`. */
  readonly old: string;
  /** The current path. It has the same parent. */
  readonly current: string;
}

export const renamedKeys: readonly RenamedKey[] = [
  { old: "stall_after", current: "stall_timeout_s" },
  { old: "train.guard.most", current: "train.guard.max_skipped" },
];

/**
 * Moves the values of old keys to the current keys. The schema has only the current keys. If a mapping has both keys, the old key stays and the
 * schema rejects it.
 *
 * @returns one warning for each key that was moved
 */
export function replaceRenamedKeys(source: ConfigSource, renames = renamedKeys): readonly Warning[] {
  return renames.flatMap((rename) => {
    const location = source.locationOf(rename.old.split("."));
    return source.rename(rename.old.split("."), rename.current.split(".")) ? [renamedWarning(rename, location)] : [];
  });
}

/** The current form of the path of an override, and a warning if the path has an old key. */
export function currentPath(
  path: readonly string[],
  location: string,
  renames = renamedKeys,
): { readonly path: readonly string[]; readonly warnings: readonly Warning[] } {
  const rename = renames.find(({ old }) => path.join(".") === old);
  if (rename === undefined) return { path, warnings: [] };
  return { path: rename.current.split("."), warnings: [renamedWarning(rename, location)] };
}

const renamedWarning = ({ old, current }: RenamedKey, place: string): Warning => ({
  code: "LAP_CONFIG_RENAMED",
  message: `the key ${old} has the new name ${current}; the old name works in this release only`,
  place,
  remedy: `write ${current}`,
});
