import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensure } from "../errors.js";
import { seededRandom } from "../random.js";

/** The identity of a file or directory, which a rename keeps. */
export type NodeId = number;

/** A change that the system may keep or lose alone, as long as it is not synced. */
type Change =
  /** Bytes of a file from an offset on. A gap before them reads as zeros. */
  | { readonly kind: "write"; readonly node: NodeId; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly node: NodeId; readonly size: number }
  /** Names of a directory; undefined removes a name. A rename changes two names at once. */
  | { readonly kind: "names"; readonly node: NodeId; readonly names: ReadonlyMap<string, NodeId | undefined> };

/** What a process did, in order. A sync makes all earlier changes of its file or directory durable. A mark is a guarantee that the process gave. */
export type RecordedEvent =
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "sync"; readonly node: NodeId; readonly path: string }
  | { readonly kind: "mark"; readonly text: string };

/** The content of a disk: directories by their names, files by their bytes. */
export type DiskContent = ReadonlyMap<NodeId, Uint8Array | ReadonlyMap<string, NodeId>>;

/** What a power cut can leave. */
export interface CrashState {
  /** The marks before the power cut, in order. */
  readonly marks: readonly string[];
  /** Number of events before the power cut, and which unsynced changes were lost: enough to find the state again. */
  readonly description: string;
  /** Writes the state below an existing directory. */
  store(directory: string): void;
}

/** Up to this number of unsynced changes, every subset is a state. */
const mostChangesInFull = 6;
/** Number of random subsets of more changes. */
const randomSubsets = 12;

/**
 * All states that a power cut can leave after each prefix of a recording. POSIX allows every subset of the changes that were not synced: a later write or
 * name may be durable although an earlier one is not. A write can also be incomplete: it counts as two changes.
 *
 * States that are equal, with the same marks, occur once.
 *
 * @param root the directory of the recording
 * @param before the durable content at its start
 */
export function* crashStates(root: NodeId, before: DiskContent, events: readonly RecordedEvent[]): Generator<CrashState> {
  let durable = before;
  let pending: readonly Change[] = [];
  const marks: string[] = [];
  const seen = new Set<string>();
  for (let count = 0; count <= events.length; count++) {
    const event = events[count - 1];
    if (event?.kind === "change") pending = [...pending, ...halves(event.change)];
    if (event?.kind === "mark") marks.push(event.text);
    if (event?.kind === "sync") {
      durable = applied(
        durable,
        pending.filter(({ node }) => node === event.node),
      );
      pending = pending.filter(({ node }) => node !== event.node);
    }
    for (const kept of subsets(pending, count)) {
      const content = applied(durable, kept);
      const key = `${marks.length} ${treeText(content, root)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const lost = pending.filter((change) => !kept.includes(change)).map(changeText);
      yield {
        marks: [...marks],
        description: `after ${count} events${lost.length === 0 ? "" : `, without ${lost.join(", ")}`}`,
        store: (directory) => storeTree(content, root, directory),
      };
    }
  }
}

function halves(change: Change): Change[] {
  if (change.kind !== "write" || change.bytes.length < 2) return [change];
  const half = change.bytes.length >> 1;
  return [
    { ...change, bytes: change.bytes.subarray(0, half) },
    { ...change, at: change.at + half, bytes: change.bytes.subarray(half) },
  ];
}

function* subsets(changes: readonly Change[], seed: number): Generator<readonly Change[]> {
  if (changes.length <= mostChangesInFull) {
    for (let bits = 0; bits < 1 << changes.length; bits++) yield changes.filter((_, i) => ((bits >> i) & 1) === 1);
    return;
  }
  // Every prefix, each change alone, and all without one.
  for (let i = 0; i <= changes.length; i++) {
    yield changes.slice(0, i);
    yield changes.slice(i, i + 1);
    yield changes.filter((_, at) => at !== i);
  }
  const random = seededRandom(seed);
  for (let i = 0; i < randomSubsets; i++) yield changes.filter(() => random.integer(2) === 1);
}

function applied(content: DiskContent, changes: readonly Change[]): DiskContent {
  const after = new Map(content);
  for (const change of changes) {
    const known = after.get(change.node);
    if (change.kind === "names") {
      const names = new Map(known instanceof Map ? (known as ReadonlyMap<string, NodeId>) : []);
      for (const [name, node] of change.names)
        if (node === undefined) names.delete(name);
        else names.set(name, node);
      after.set(change.node, names);
      continue;
    }
    const bytes = known instanceof Uint8Array ? known : new Uint8Array();
    const size = change.kind === "truncate" ? change.size : Math.max(bytes.length, change.at + change.bytes.length);
    const next = new Uint8Array(size);
    next.set(bytes.subarray(0, size));
    if (change.kind === "write") next.set(change.bytes, change.at);
    after.set(change.node, next);
  }
  return after;
}

/** A file whose bytes are all lost is empty, because its name may be durable without them. A directory is never absent: see `names` of the recorder. */
function storeTree(content: DiskContent, root: NodeId, directory: string): void {
  const names = content.get(root);
  if (names === undefined || names instanceof Uint8Array) return;
  for (const [name, node] of names) {
    const child = ensure(content.get(node), name);
    const path = join(directory, name);
    if (child instanceof Uint8Array) writeFileSync(path, child);
    else {
      mkdirSync(path);
      storeTree(content, node, path);
    }
  }
}

function treeText(content: DiskContent, node: NodeId): string {
  const found = content.get(node);
  if (found === undefined) return "";
  if (found instanceof Uint8Array) return Buffer.from(found).toString("latin1");
  return `{${[...found].map(([name, child]) => `${name}:${treeText(content, child)}`).join("\n")}}`;
}

function changeText(change: Change): string {
  if (change.kind === "names")
    return `names ${[...change.names].map(([name, node]) => `${node === undefined ? "-" : "+"}${name}`).join(" ")}`;
  return change.kind === "write" ? `${change.bytes.length} bytes at ${change.at}` : `truncation to ${change.size}`;
}
