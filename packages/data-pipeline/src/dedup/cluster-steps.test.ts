import { deepStrictEqual, ok } from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import type { GatherInputs, StageOutput } from "../stages/stage.js";
import { clusterSteps } from "./cluster-steps.js";

const rowsOfShard = 8;
const rankBytes = 2;
type Edge = readonly [number, number];

const placeOf = (node: number): Buffer => Buffer.from([0, 0, Math.floor(node / rowsOfShard), 0, 0, node % rowsOfShard]);
const nodeOf = (bytes: Buffer, at: number): number => bytes.readUIntBE(at, 3) * rowsOfShard + bytes.readUIntBE(at + 3, 3);

/** Objects in memory, by step. */
type Written = Map<string, readonly (readonly Buffer[])[]>;

async function partsOf(output: StageOutput): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for (let next = await output.next(); next.done !== true; next = await output.next()) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of next.value) chunks.push(chunk);
    parts.push(Buffer.concat(chunks));
  }
  return parts;
}

interface Graph {
  readonly edges: readonly Edge[];
  /** By node. */
  readonly ranks: readonly number[];
}

/** What the steps drop, by node, and the number of records that are not of stars when `rest` runs. */
async function clustered(
  directory: string,
  { edges, ranks }: Graph,
  partitions: number,
): Promise<{ dropped: Map<number, number>; rest: number }> {
  const shards = Math.ceil(ranks.length / rowsOfShard);
  const partitionOf = (node: number): number => Math.floor((Math.floor(node / rowsOfShard) * partitions) / shards);
  const directed = edges.flatMap(([a, b]): Edge[] => [
    [a, b],
    [b, a],
  ]);
  const written: Written = new Map();
  written.set(
    "pairs",
    Array.from({ length: partitions }, (_, key) =>
      Array.from({ length: partitions }, (_, part) =>
        Buffer.concat(
          directed.flatMap(([a, b], i) => (partitionOf(a) === part && (i >> 1) % partitions === key ? [placeOf(a), placeOf(b)] : [])),
        ),
      ),
    ),
  );
  written.set(
    "keys",
    Array.from({ length: shards }, (_, shard) => {
      const rows = ranks.slice(shard * rowsOfShard, (shard + 1) * rowsOfShard);
      const ranked = rows.map((rank, row) => Buffer.from([0, 0, row, rank >> 8, rank & 255]));
      return [...Array.from({ length: partitions }, () => Buffer.alloc(0)), Buffer.concat(ranked)];
    }),
  );
  let last = "pairs";
  let scratches = 0;
  for (const step of clusterSteps<null>({ pairs: "pairs", ranks: "keys", rounds: 2 }, () => rankBytes)) {
    ok(step.shape === "gather");
    const reads = step.reads ?? [last];
    const before = ensure(written.get(reads[0] ?? ""), "a step before").length;
    const count = step.partitions(null, before);
    const objects: (readonly Buffer[])[] = [];
    for (let partition = 0; partition < count; partition++) {
      const scratch = join(directory, `${step.name}-${scratches++}`);
      mkdirSync(scratch);
      objects.push(await partsOf(step.run(inputsOf(written, reads, shards, scratch), partition, count, null)));
    }
    written.set(step.name, objects);
    last = step.name;
  }
  const dropped = new Map<number, number>();
  for (const part of ensure(written.get("choose"), "choose").flat())
    for (let at = 0; at < part.length; at += 12) dropped.set(nodeOf(part, at), nodeOf(part, at + 6));
  const rest = ensure(written.get("settle"), "settle").reduce((sum, parts) => sum + (parts[partitions]?.length ?? 0) / 12, 0);
  return { dropped, rest };
}

function inputsOf(written: Written, reads: readonly string[], shards: number, scratch: string): GatherInputs {
  const objectsOf = (step: string): string[] => ensure(written.get(step), step).map((_, i) => `${step} ${i}`);
  return {
    objects: reads.flatMap(objectsOf),
    of: objectsOf,
    async *read(key, part) {
      const [step = "", object = ""] = key.split(" ");
      yield ensure(written.get(step)?.[Number(object)]?.[part], `${key} part ${part}`);
    },
    sources: Array.from({ length: shards }, () => "web"),
    scratch,
  };
}

/** By union of sets. */
function byDefinition({ edges, ranks }: Graph): Map<number, number> {
  const labels = ranks.map((_, node) => node);
  for (const [a, b] of edges) {
    const [from, to] = [labels[a], labels[b]];
    for (const [node, label] of labels.entries()) if (label === from && to !== undefined) labels[node] = to;
  }
  const dropped = new Map<number, number>();
  for (const node of labels.keys()) {
    const members = [...labels.keys()].filter((other) => labels[other] === labels[node]);
    const kept = members.toSorted((a, b) => (ranks[a] ?? 0) - (ranks[b] ?? 0))[0] ?? node;
    if (kept !== node) dropped.set(node, kept);
  }
  return dropped;
}

const sortedEntries = (map: ReadonlyMap<number, number>): Edge[] => [...map].sort(([a], [b]) => a - b);

describe("clusters over several partitions", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  it("1, 3 and 8 partitions drop the same documents for the same kept ones, which are those of the least rank", async () => {
    let runs = 0;
    const nodes = 40;
    const graph = fc.record({
      edges: fc.array(
        fc.tuple(fc.nat(nodes - 1), fc.nat(nodes - 1)).filter(([a, b]) => a !== b),
        { maxLength: 30 },
      ),
      ranks: fc.shuffledSubarray(
        [...Array(nodes).keys()].map((rank) => rank * 7),
        { minLength: nodes },
      ),
    });
    await fc.assert(
      fc.asyncProperty(graph, async (each) => {
        const expected = sortedEntries(byDefinition(each));
        for (const partitions of [1, 3, 8]) {
          const work = join(directory(), String(runs++));
          mkdirSync(work);
          deepStrictEqual(sortedEntries((await clustered(work, each, partitions)).dropped), expected, `${partitions} partitions`);
        }
      }),
      { numRuns: 5 },
    );
  });

  it("a chain that two rounds do not make a star is completed, and stars leave nothing to complete", async () => {
    const nodes = 120;
    const order = Array.from({ length: nodes }, (_, i) => (i * 37) % nodes);
    const ranks = order.map((_, i) => (i * 53) % nodes);
    const chain = { edges: order.slice(1).map((node, i): Edge => [order[i] ?? 0, node]), ranks };
    const found = await clustered(directory(), chain, 3);
    deepStrictEqual(sortedEntries(found.dropped), sortedEntries(byDefinition(chain)));
    ok(found.rest > 0);
    const stars = { edges: order.map((node): Edge => [node, node % 5]).filter(([a, b]) => a !== b), ranks };
    const work = join(directory(), "stars");
    mkdirSync(work);
    deepStrictEqual([sortedEntries((await clustered(work, stars, 8)).dropped)], [sortedEntries(byDefinition(stars))]);
    const again = join(directory(), "again");
    mkdirSync(again);
    deepStrictEqual((await clustered(again, stars, 8)).rest, 0);
  });
});
