import { ensure } from "@lapidary/std";
import { byCodeUnits } from "@lapidary/readers";
import { indivisibleCorpus } from "../data-errors.js";
import { contentHash, type Document } from "./document.js";

export interface Splits {
  readonly train: readonly Document[];
  readonly heldout: readonly Document[];
}

/** A group stays in training if it would make the held-out split larger than this multiple of the requested size. */
const maxOvershoot = 1.5;

/**
 * Splits documents into training and held-out, by the hash of their text, and shuffles
 * both splits by the same hash. Documents of one group stay in one split, so that training sees no near-copy of a held-out text.
 * If the whole corpus is one group, the documents of the group are split.
 *
 * @param fraction of the characters to hold out, above 0 and at most ½
 * @param place names the corpus in errors
 * @throws LapidaryError `LAP_DATA_TOO_SMALL` if the corpus has fewer than two different documents
 */
export function splitHeldOut(documents: readonly Document[], fraction: number, place: string): Splits {
  const hashed = documents
    .map((document) => ({ document, hash: contentHash(document.text) }))
    .sort((a, b) => byCodeUnits(a.hash, b.hash) || byCodeUnits(a.document.source, b.document.source));
  const targetSize = fraction * documents.reduce((sum, { text }) => sum + text.length, 0);
  const heldHashes =
    chooseHeldOut(hashed, targetSize, ({ document }) => `${document.group}`) ?? chooseHeldOut(hashed, targetSize, ({ hash }) => hash);
  if (heldHashes === undefined) throw indivisibleCorpus(place);
  const side = (chosen: boolean): Document[] =>
    hashed.filter(({ hash }) => heldHashes.has(hash) === chosen).map(({ document }) => document);
  return { train: side(false), heldout: side(true) };
}

interface Hashed {
  readonly document: Document;
  readonly hash: string;
}

/** Hashes of the documents to hold out: groups in the order of their smallest hash, up to the target size. Undefined if one split stays empty. */
function chooseHeldOut(hashed: readonly Hashed[], targetSize: number, groupOf: (each: Hashed) => string): Set<string> | undefined {
  const groups = new Map<string, Hashed[]>();
  for (const each of hashed) append(groups, groupOf(each), each);
  if (groups.size < 2) return undefined;
  const sized = [...groups.values()].map((members) => ({
    members,
    size: members.reduce((sum, { document }) => sum + document.text.length, 0),
  }));
  const chosen: Hashed[] = [];
  let size = 0;
  for (const group of sized) {
    if (size >= targetSize) break;
    if (size + group.size > maxOvershoot * targetSize) continue;
    for (const member of group.members) chosen.push(member);
    size += group.size;
  }
  return hashesOf(chosen.length > 0 ? chosen : ensure(sized.toSorted((a, b) => a.size - b.size)[0], "group").members);
}

const hashesOf = (members: readonly Hashed[]): Set<string> => new Set(members.map(({ hash }) => hash));

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
