import type { ProgramView } from "@lapidary/api/program-view";

export interface Difference {
  readonly what: string;
  readonly a: string;
  readonly b: string;
}

/** Keys with different values, as paths (`train.optimizer.lr`), in the order of `a`. */
export function differences(a: unknown, b: unknown): Difference[] {
  const [flatA, flatB] = [flatten(a), flatten(b)];
  return [...new Set([...flatA.keys(), ...flatB.keys()])]
    .filter((key) => flatA.get(key) !== flatB.get(key))
    .map((key) => ({ what: key, a: flatA.get(key) ?? "–", b: flatB.get(key) ?? "–" }));
}

function flatten(value: unknown, path = "", into = new Map<string, string>()): Map<string, string> {
  if (value !== null && typeof value === "object" && !isList(value))
    for (const [key, item] of Object.entries(value)) flatten(item, path === "" ? key : `${path}.${key}`, into);
  else into.set(path, typeof value === "string" ? value : JSON.stringify(value));
  return into;
}

/** A list of plain values counts as one value: `[0.9, 0.95]`. */
const isList = (value: object): boolean => Array.isArray(value) && value.every((item) => item === null || typeof item !== "object");

export interface CollectiveDifference {
  readonly op: string;
  readonly axis: string;
  readonly count_a: number;
  readonly count_b: number;
  readonly bytes_a: number;
  readonly bytes_b: number;
}

export function collectiveDifferences(a: ProgramView | undefined, b: ProgramView | undefined): CollectiveDifference[] {
  const rows = new Map<string, { op: string; axis: string; count_a: number; count_b: number; bytes_a: number; bytes_b: number }>();
  for (const [key, view] of [
    ["a", a],
    ["b", b],
  ] as const)
    for (const { op, axis, count, bytes_per_chip } of view?.collectives ?? []) {
      const row = rows.get(`${op} ${axis}`) ?? { op, axis, count_a: 0, count_b: 0, bytes_a: 0, bytes_b: 0 };
      row[`count_${key}`] += count;
      row[`bytes_${key}`] += bytes_per_chip;
      rows.set(`${op} ${axis}`, row);
    }
  return [...rows.values()].sort((x, y) => Math.max(y.bytes_a, y.bytes_b) - Math.max(x.bytes_a, x.bytes_b));
}

/** The states with different shardings, or that exist in only one program. */
export function shardingDifferences(a: ProgramView | undefined, b: ProgramView | undefined): Difference[] {
  const shardings = (view: ProgramView | undefined): Map<string, string> =>
    new Map(
      (view?.values ?? [])
        .filter(({ op }) => op === "parameter")
        .map(({ name, dims, sharding }) => [name, `${dims.join("×")} ${sharding}`]),
    );
  const [ofA, ofB] = [shardings(a), shardings(b)];
  return [...new Set([...ofA.keys(), ...ofB.keys()])]
    .filter((name) => ofA.get(name) !== ofB.get(name))
    .map((name) => ({ what: name, a: ofA.get(name) ?? "–", b: ofB.get(name) ?? "–" }));
}
