import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ExternalSort } from "./external-sort.js";
import { numberAt, putNumber, type RecordStream } from "./record.js";
import { type RecordFile, readRecords } from "./record-file.js";

/** Bytes of the number of a node: whole numbers below 2⁴⁸. */
export const nodeBytes = 6;

/** Two nodes. */
export const pairBytes = 2 * nodeBytes;

export interface ComponentOptions {
  /** A directory of this computation alone. It is removed at the end. */
  readonly directory: string;
  readonly memoryBytes?: number;
}

/**
 * The connected components of a graph: records (node, least node of its component), sorted, each node that has an edge once.
 *
 * Rounds of large-star and small-star (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond"). Each star is a sort by node and a pass that
 * needs the least neighbour of one node at a time. Memory is that of the sorts, whatever the size of a component.
 *
 * @param pairs two nodes each, in any order, repeated or not
 * @param path of the result
 */
export function componentsOnDisk(pairs: RecordStream, path: string, { directory, memoryBytes }: ComponentOptions): RecordFile {
  mkdirSync(directory, { recursive: true });
  const sorter = (name: string): ExternalSort =>
    new ExternalSort(pairBytes, {
      directory: join(directory, `runs-${name}`),
      isUnique: true,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
    });
  const first = sorter("sort");
  while (pairs.next()) addEdge(first, numberAt(pairs.bytes, pairs.at, nodeBytes), numberAt(pairs.bytes, pairs.at + nodeBytes, nodeBytes));
  let edges = first.finish(join(directory, "edges-0"));
  for (let round = 1; ; round++) {
    const both = sorter("both");
    forEachPair(readRecords(edges), (a, b) => {
      addPair(both, a, b);
      addPair(both, b, a);
    });
    const directed = both.finish(join(directory, "both"));
    const large = star(directed, sorter("large"), "large", join(directory, "large-star"));
    const next = star(large, sorter("small"), "small", join(directory, `edges-${round}`));
    for (const { path: old } of [edges, directed, large]) rmSync(old);
    if (next.sha256 === edges.sha256) return withLeastNodes(next, sorter("result"), path, directory);
    edges = next;
  }
}

/**
 * Connects the neighbours of each node to the least of them and the node: those that are larger (large-star), or those that are smaller, and the node
 * (small-star). The neighbours of a node are consecutive and sorted, so the first one is the least.
 *
 * @param edges (node, neighbour), in both directions for a large-star, and from the larger to the smaller one for a small-star
 * @returns pairs (larger, smaller), each once
 */
function star(edges: RecordFile, into: ExternalSort, kind: "large" | "small", path: string): RecordFile {
  forEachStarEdge(readRecords(edges), kind, (larger, smaller) => addPair(into, larger, smaller));
  return into.finish(path);
}

/**
 * The edges of one star operation, as `star` describes it. A partition of the nodes suffices if it has all edges of its nodes.
 *
 * @param visit called with the larger and the smaller node, also for repeated edges
 */
export function forEachStarEdge(edges: RecordStream, kind: "large" | "small", visit: (larger: number, smaller: number) => void): void {
  const visitEdge = (a: number, b: number): void => {
    if (a !== b) visit(Math.max(a, b), Math.min(a, b));
  };
  let [current, least] = [-1, -1];
  forEachPair(edges, (node, neighbour) => {
    if (node !== current) {
      [current, least] = [node, Math.min(node, neighbour)];
      if (kind === "small") visitEdge(node, least);
    }
    if (kind === "small" || neighbour > node) visitEdge(neighbour, least);
  });
}

/** Edges end at the least node of a component. It belongs to the component too. */
function withLeastNodes(edges: RecordFile, into: ExternalSort, path: string, directory: string): RecordFile {
  forEachPair(readRecords(edges), (node, least) => {
    addPair(into, node, least);
    addPair(into, least, least);
  });
  const file = into.finish(path);
  rmSync(directory, { recursive: true });
  return file;
}

/** Calls `visit` with both nodes of each record. */
function forEachPair(stream: RecordStream, visit: (a: number, b: number) => void): void {
  while (stream.next()) visit(numberAt(stream.bytes, stream.at, nodeBytes), numberAt(stream.bytes, stream.at + nodeBytes, nodeBytes));
}

const addEdge = (into: ExternalSort, a: number, b: number): void => {
  if (a !== b) addPair(into, Math.max(a, b), Math.min(a, b));
};

/** Adds a record of two nodes. */
export function addPair(into: ExternalSort, a: number, b: number): void {
  const pair = new Uint8Array(pairBytes);
  putNumber(pair, 0, nodeBytes, a);
  putNumber(pair, nodeBytes, nodeBytes, b);
  into.add(pair);
}
