import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { assert, ensure } from "../errors.js";
import { type CrashState, crashStates, type DiskContent, type NodeId, type RecordedEvent } from "./crash-states.js";

/** The functions of Node that the product writes with. After each call, the recorder compares the directory with its content before. */
const synchronous = [
  "openSync",
  "writeSync",
  "appendFileSync",
  "writeFileSync",
  "ftruncateSync",
  "truncateSync",
  "renameSync",
  "rmSync",
  "mkdirSync",
  "linkSync",
  "unlinkSync",
] as const; // prettier-ignore
const asynchronous = ["rename", "rm", "mkdir", "writeFile", "appendFile", "truncate", "link", "unlink"] as const;
const handleWrites = ["write", "writev", "writeFile", "appendFile", "truncate"] as const;

type AnyFunction = (...values: readonly unknown[]) => unknown;

export interface Recording {
  /** Every state that a power cut can leave. */
  states(): Generator<CrashState>;
  /**
   * The same work by a process that never syncs the paths that fit. Only states with a guarantee are left, because only they can show that one is broken.
   * A test must fail for them, so it finds a sync that is missing.
   */
  withoutSyncs(path: RegExp): Recording;
}

/**
 * Stores every state of a recording in a new directory and checks it.
 *
 * @param check gets the directory of the state, and the marks before the power cut
 * @returns the number of states
 */
export async function forEachState(
  { states }: Recording,
  check: (directory: string, marks: readonly string[]) => void | Promise<void>,
): Promise<number> {
  const place = fs.mkdtempSync(join(tmpdir(), "lapidary-states-"));
  let count = 0;
  try {
    for (const state of states()) {
      const directory = join(place, String(count++));
      fs.mkdirSync(directory);
      state.store(directory);
      try {
        await check(directory, state.marks);
      } catch (error) {
        throw new Error(`${state.description}, marks ${state.marks.join()}: ${String(error)}`, { cause: error });
      }
      fs.rmSync(directory, { recursive: true });
    }
  } finally {
    fs.rmSync(place, { recursive: true, force: true });
  }
  return count;
}

/**
 * Records every write, sync and rename below a directory while `work` runs, by the functions of `node:fs` that the product calls.
 *
 * The content of the directory at the start is durable. Work that writes at the same time in several promises is recorded in the order in which the calls
 * end.
 *
 * @param work calls `mark` where it gives a guarantee: "step 3 is committed"
 */
export async function recordWrites(directory: string, work: (mark: (text: string) => void) => void | Promise<void>): Promise<Recording> {
  const recorder = new WriteRecorder(directory);
  const restore = recorder.install();
  try {
    await work((text) => recorder.events.push({ kind: "mark", text }));
  } finally {
    restore();
  }
  const { root, before } = recorder;
  const recordingOf = (events: readonly RecordedEvent[], isWhole: boolean): Recording => ({
    *states() {
      for (const state of crashStates(root, before, events)) if (isWhole || state.marks.length > 0) yield state;
    },
    withoutSyncs: (path) => {
      const left = events.filter((event) => event.kind !== "sync" || !path.test(event.path));
      assert(left.length < events.length, "a sync is left out", path.source);
      return recordingOf(left, false);
    },
  });
  return recordingOf(recorder.events, true);
}

class WriteRecorder {
  readonly events: RecordedEvent[] = [];
  readonly root: NodeId;
  readonly before: DiskContent;
  /** The identity of each file and directory, by its inode number. */
  #nodes = new Map<number, NodeId>();
  /** Paths relative to the directory: `.` is the directory. */
  readonly #paths = new Map<NodeId, string>();
  #content: DiskContent;
  #next = 1;
  #isScanning = false;

  constructor(private readonly directory: string) {
    this.#content = this.#scan();
    this.before = this.#content;
    this.root = ensure(this.#nodes.get(fs.statSync(directory).ino), "root");
  }

  /** Replaces the functions of Node. @returns a function that restores them */
  install(): () => void {
    const undo: (() => void)[] = [];
    const replace = (target: object, name: string, make: (original: AnyFunction) => AnyFunction): void => {
      const original = Reflect.get(target, name) as AnyFunction;
      Reflect.set(target, name, make(original));
      undo.push(() => Reflect.set(target, name, original));
    };
    for (const name of synchronous)
      replace(fs, name, (original) => (...values) => {
        const result = original(...values);
        this.#compare();
        return result;
      });
    for (const name of ["fsyncSync", "fdatasyncSync"])
      replace(fs, name, (original) => (file) => {
        original(file);
        this.#synced(file as number);
      });
    for (const name of asynchronous)
      replace(fs.promises, name, (original) => async (...values) => {
        const result = await original(...values);
        this.#compare();
        return result;
      });
    replace(fs.promises, "open", (original) => async (...values) => {
      const handle = (await original(...values)) as fs.promises.FileHandle;
      this.#compare();
      this.#watch(handle);
      return handle;
    });
    syncBuiltinESMExports();
    return () => {
      for (const step of undo) step();
      syncBuiltinESMExports();
    };
  }

  #watch(handle: fs.promises.FileHandle): void {
    for (const name of handleWrites) {
      const original = (handle[name] as AnyFunction).bind(handle);
      Reflect.set(handle, name, async (...values: readonly unknown[]) => {
        const result = await original(...values);
        this.#compare();
        return result;
      });
    }
    for (const name of ["sync", "datasync"] as const) {
      const original = handle[name].bind(handle);
      Reflect.set(handle, name, async () => {
        await original();
        this.#synced(handle.fd);
      });
    }
  }

  #synced(file: number): void {
    const node = this.#nodes.get(fs.fstatSync(file).ino);
    if (node !== undefined) this.events.push({ kind: "sync", node, path: this.#paths.get(node) ?? "" });
  }

  /** Records the differences since the last call. */
  #compare(): void {
    // The scan itself opens files.
    if (this.#isScanning) return;
    const before = this.#content;
    this.#isScanning = true;
    const after = this.#scan();
    this.#isScanning = false;
    for (const [node, now] of after) {
      const known = before.get(node);
      if (now instanceof Uint8Array) this.#compareBytes(node, known instanceof Uint8Array ? known : undefined, now);
      else this.#compareNames(node, known instanceof Uint8Array ? undefined : known, now);
    }
    this.#content = after;
  }

  #compareBytes(node: NodeId, before: Uint8Array | undefined, now: Uint8Array): void {
    // A new file is empty, even if none of its bytes becomes durable.
    if (before === undefined)
      this.events.push(
        { kind: "change", change: { kind: "write", node, at: 0, bytes: new Uint8Array() } },
        { kind: "sync", node, path: "" },
      );
    const old = before ?? new Uint8Array();
    if (now.length < old.length) this.events.push({ kind: "change", change: { kind: "truncate", node, size: now.length } });
    let at = 0;
    while (at < now.length && at < old.length && now[at] === old[at]) at++;
    if (at < now.length) this.events.push({ kind: "change", change: { kind: "write", node, at, bytes: now.slice(at) } });
  }

  #compareNames(node: NodeId, before: ReadonlyMap<string, NodeId> | undefined, now: ReadonlyMap<string, NodeId>): void {
    const names = new Map<string, NodeId | undefined>();
    for (const [name, child] of now) if (before?.get(name) !== child) names.set(name, child);
    for (const name of before?.keys() ?? []) if (!now.has(name)) names.set(name, undefined);
    // A new directory is empty, even if none of its names becomes durable.
    if (before === undefined)
      this.events.push({ kind: "change", change: { kind: "names", node, names: new Map() } }, { kind: "sync", node, path: "" });
    if (names.size === 0) return;
    const isRename = [...names.values()].some((child) => child !== undefined && [...(before?.values() ?? [])].includes(child));
    if (isRename) this.events.push({ kind: "change", change: { kind: "names", node, names } });
    else
      for (const [name, child] of names)
        this.events.push({ kind: "change", change: { kind: "names", node, names: new Map([[name, child]]) } });
  }

  #scan(): DiskContent {
    const content = new Map<NodeId, Uint8Array | ReadonlyMap<string, NodeId>>();
    const nodes = new Map<number, NodeId>();
    const visit = (path: string): NodeId => {
      const { ino } = fs.statSync(path);
      const node = this.#nodes.get(ino) ?? this.#next++;
      nodes.set(ino, node);
      this.#paths.set(node, relative(this.directory, path) || ".");
      content.set(
        node,
        fs.statSync(path).isDirectory()
          ? new Map(fs.readdirSync(path).map((name): [string, NodeId] => [name, visit(join(path, name))]))
          : Uint8Array.from(fs.readFileSync(path)),
      );
      return node;
    };
    visit(this.directory);
    this.#nodes = nodes;
    return content;
  }
}
