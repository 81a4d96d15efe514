import { must } from "@lapidary/std";
import { indivisibleCorpus } from "../data-errors.js";
import { contentHash, type Document } from "./document.js";
import { byCodeUnits } from "./walk.js";

export interface Splits {
  readonly train: readonly Document[];
  readonly heldout: readonly Document[];
}

/** A group that would make the held-out part larger than this multiple of what was asked stays in training. */
const overshoot = 1.5;

/**
 * Splits documents into training and held-out, by the hash of what they say and not by where they stand, and shuffles
 * both by the same hash. Documents of one group stay on one side, so that no near-copy of a held-out text is trained on;
 * only when the whole corpus is one group (it repeats itself) are its documents taken apart.
 *
 * @param fraction of the characters to hold out, above 0 and at most ½
 * @param place names the corpus in errors
 * @throws LapidaryError `LAP_DATA_TOO_SMALL` when there are not two different documents to take apart
 */
export function splitHeldOut(documents: readonly Document[], fraction: number, place: string): Splits {
  const hashed = documents
    .map((document) => ({ document, hash: contentHash(document.text) }))
    .sort((a, b) => byCodeUnits(a.hash, b.hash) || byCodeUnits(a.document.source, b.document.source));
  const wanted = fraction * documents.reduce((sum, { text }) => sum + text.length, 0);
  const heldHashes =
    chooseHeldOut(hashed, wanted, ({ document }) => `${document.group}`) ?? chooseHeldOut(hashed, wanted, ({ hash }) => hash);
  if (heldHashes === undefined) throw indivisibleCorpus(place);
  const side = (held: boolean): Document[] => hashed.filter(({ hash }) => heldHashes.has(hash) === held).map(({ document }) => document);
  return { train: side(false), heldout: side(true) };
}

interface Hashed {
  readonly document: Document;
  readonly hash: string;
}

/** Hashes of the documents to hold out: groups by their least hash, until they hold what is wanted; undefined if one side stays empty. */
function chooseHeldOut(hashed: readonly Hashed[], wanted: number, groupOf: (each: Hashed) => string): Set<string> | undefined {
  const groups = new Map<string, Hashed[]>();
  for (const each of hashed) append(groups, groupOf(each), each);
  if (groups.size < 2) return undefined;
  const sized = [...groups.values()].map((members) => ({
    members,
    size: members.reduce((sum, { document }) => sum + document.text.length, 0),
  }));
  const held: Hashed[] = [];
  let size = 0;
  for (const group of sized) {
    if (size >= wanted) break;
    if (size + group.size > overshoot * wanted) continue;
    for (const member of group.members) held.push(member);
    size += group.size;
  }
  return hashesOf(held.length > 0 ? held : must(sized.toSorted((a, b) => a.size - b.size)[0], "group").members);
}

const hashesOf = (members: readonly Hashed[]): Set<string> => new Set(members.map(({ hash }) => hash));

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
