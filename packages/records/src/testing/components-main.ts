/**
 * Finds the components of made-up pairs, as near-duplicates give them: sets of 4 nodes with 2.5 pairs each on average, in random order.
 * Arguments: number of pairs, directory. Prints the number of nodes with a pair, that of components, and the peak memory of the process.
 */
import { join } from "node:path";
import { seededRandom } from "@lapidary/std";
import { componentsOnDisk, nodeBytes, pairBytes } from "../components.js";
import { numberAt, putNumber, type RecordStream } from "../record.js";
import { readRecords } from "../record-file.js";

const [pairs = "0", directory = ""] = process.argv.slice(2);
const nodesOfSet = 4;
const sets = Math.ceil(Number(pairs) / 2.5);

function madeUpPairs(count: number): RecordStream {
  const random = seededRandom(1);
  const bytes = new Uint8Array(pairBytes);
  let made = 0;
  return {
    width: pairBytes,
    bytes,
    at: 0,
    next() {
      if (made++ === count) return false;
      const first = random.integer(sets) * nodesOfSet;
      putNumber(bytes, 0, nodeBytes, first + random.integer(nodesOfSet));
      putNumber(bytes, nodeBytes, nodeBytes, first + random.integer(nodesOfSet));
      return true;
    },
    close: () => undefined,
  };
}

const found = readRecords(
  componentsOnDisk(madeUpPairs(Number(pairs)), join(directory, "components"), { directory: join(directory, "work") }),
);
const counts = { nodes: 0, components: 0 };
while (found.next()) {
  counts.nodes++;
  const [node, least] = [numberAt(found.bytes, found.at, nodeBytes), numberAt(found.bytes, found.at + nodeBytes, nodeBytes)];
  if (node === least) counts.components++;
  if (Math.floor(node / nodesOfSet) !== Math.floor(least / nodesOfSet)) throw new Error(`${node} is not in the set of ${least}`);
}
process.stdout.write(`${JSON.stringify({ ...counts, rss_mb: process.resourceUsage().maxRSS / 1000 })}\n`);
