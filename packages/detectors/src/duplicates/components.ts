/** Two documents that meet, as numbers. */
export type Pair = readonly [number, number];

/**
 * The connected components of documents that meet, each sorted, in the order of their least member. Documents that meet no other are not listed.
 *
 * Rounds of large-star and small-star (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond"): each round is a pass over pairs that are sorted
 * by document, so that a round can be split by document. The result does not depend on the order of pairs.
 */
export function connectedComponents(pairs: Iterable<Pair>): number[][] {
  let edges = unique([...pairs].filter(([a, b]) => a !== b));
  for (;;) {
    const next = star(star(edges, "large"), "small");
    if (next.length === edges.length && next.every(([a, b], i) => edges[i]?.[0] === a && edges[i]?.[1] === b)) break;
    edges = next;
  }
  const members = new Map<number, number[]>();
  for (const [document, least] of edges) members.set(least, [...(members.get(least) ?? [least]), document]);
  return [...members.values()].sort(([a = 0], [b = 0]) => a - b);
}

/**
 * Connects the neighbours of each document to the least of them and itself: those that are larger (large-star), or those that are smaller, and itself
 * (small-star).
 */
function star(edges: readonly Pair[], kind: "large" | "small"): Pair[] {
  const directed =
    kind === "large"
      ? edges.flatMap(([a, b]): Pair[] => [
          [a, b],
          [b, a],
        ])
      : edges.map(([a, b]): Pair => (a > b ? [a, b] : [b, a]));
  directed.sort(byDocument);
  const result: Pair[] = [];
  for (let start = 0, end = 0; start < directed.length; start = end) {
    const document = directed[start]?.[0] ?? 0;
    while (end < directed.length && directed[end]?.[0] === document) end++;
    const neighbours = directed.slice(start, end).map(([, neighbour]) => neighbour);
    const least = Math.min(document, neighbours[0] ?? document);
    const moved = kind === "large" ? neighbours.filter((each) => each > document) : [document, ...neighbours];
    for (const each of moved) if (each !== least) result.push([each, least]);
  }
  return unique(result);
}

const byDocument = ([a, b]: Pair, [c, d]: Pair): number => a - c || b - d;

/** Sorted pairs (larger, smaller), each once. */
function unique(edges: readonly Pair[]): Pair[] {
  const sorted = edges.map(([a, b]): Pair => (a > b ? [a, b] : [b, a])).sort(byDocument);
  return sorted.filter(([a, b], i) => sorted[i - 1]?.[0] !== a || sorted[i - 1]?.[1] !== b);
}
