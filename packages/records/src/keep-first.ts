import { join } from "node:path";
import { nodeBytes, pairBytes } from "./components.js";
import { ExternalSort } from "./external-sort.js";
import { compareRecords, copyRecord, type RecordStream } from "./record.js";
import type { RecordFile } from "./record-file.js";
import { readRecords } from "./record-file.js";

export interface KeepOptions {
  /** A directory for the sorts. */
  readonly directory: string;
  readonly memoryBytes?: number;
}

/**
 * In each component the node with the least rank is kept. The result does not depend on the numbers of the nodes if no two ranks are equal.
 *
 * @param members (node, component), sorted by node
 * @param ranks (node, rank), sorted by node, a rank for each member
 * @param path of the result: (node, kept node) for each node that is not kept, sorted by node
 */
export function keepFirst(members: RecordStream, ranks: RecordStream, path: string, options: KeepOptions): RecordFile {
  const rankBytes = ranks.width - nodeBytes;
  const byRank = joinRanks(members, ranks, nodeBytes, options);
  const sort = new ExternalSort(pairBytes, sortOptions(options, "kept"));
  const [component, result] = [new Uint8Array(nodeBytes).fill(0xff), new Uint8Array(pairBytes)];
  const ranked = readRecords(byRank);
  for (let isFirst = true; ranked.next(); isFirst = false) {
    const node = ranked.at + nodeBytes + rankBytes;
    if (isFirst || compareRecords(component, 0, ranked.bytes, ranked.at, nodeBytes) !== 0) {
      copyRecord(ranked.bytes, ranked.at, component, 0, nodeBytes);
      copyRecord(ranked.bytes, node, result, nodeBytes, nodeBytes);
      continue;
    }
    copyRecord(ranked.bytes, node, result, 0, nodeBytes);
    sort.add(result);
  }
  return sort.finish(path);
}

/**
 * Sorts members by group, and by rank within a group.
 *
 * @param members (node, group, rest), sorted by node
 * @param ranks (node, rank), sorted by node
 * @returns (group, rank, node, rest), sorted
 */
function joinRanks(members: RecordStream, ranks: RecordStream, groupBytes: number, options: KeepOptions): RecordFile {
  const rankBytes = ranks.width - nodeBytes;
  const restBytes = members.width - nodeBytes - groupBytes;
  const sort = new ExternalSort(groupBytes + rankBytes + nodeBytes + restBytes, sortOptions(options, "ranked"));
  const joined = new Uint8Array(groupBytes + rankBytes + nodeBytes + restBytes);
  let hasRank = ranks.next();
  while (members.next()) {
    while (hasRank && compareRecords(ranks.bytes, ranks.at, members.bytes, members.at, nodeBytes) < 0) hasRank = ranks.next();
    if (!hasRank || compareRecords(ranks.bytes, ranks.at, members.bytes, members.at, nodeBytes) !== 0)
      throw new RangeError("a member has no rank");
    copyRecord(members.bytes, members.at + nodeBytes, joined, 0, groupBytes);
    copyRecord(ranks.bytes, ranks.at + nodeBytes, joined, groupBytes, rankBytes);
    copyRecord(members.bytes, members.at, joined, groupBytes + rankBytes, nodeBytes);
    copyRecord(members.bytes, members.at + nodeBytes + groupBytes, joined, groupBytes + rankBytes + nodeBytes, restBytes);
    sort.add(joined);
  }
  // Read to the end, so that a flipped byte behind the last member is found too.
  while (hasRank) hasRank = ranks.next();
  return sort.finish(join(options.directory, "by-rank"));
}

const sortOptions = ({ directory, memoryBytes }: KeepOptions, name: string): { directory: string; memoryBytes?: number } => ({
  directory: join(directory, `runs-${name}`),
  ...(memoryBytes === undefined ? {} : { memoryBytes }),
});
