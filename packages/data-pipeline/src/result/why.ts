import type { OutputStore, S3Access } from "@lapidary/data-store";
import { assert, assertNever, ensure, LapidaryError } from "@lapidary/std";
import { settingsAs } from "../file/pipeline-file.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { OutputKind, Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";
import type { Edit, Value } from "../view/view.js";
import { openResult } from "./open-result.js";
import type { PlanFile, PlannedShard } from "./plan-file.js";
import { stageAccounts } from "./stage-accounts.js";

/** What one stage did with a document. */
export type StageFate =
  | { readonly stage: string; readonly kind: "kept" }
  | { readonly stage: string; readonly kind: "dropped"; readonly reason: string }
  | { readonly stage: string; readonly kind: "changed"; readonly removed: readonly string[]; readonly bytes: number }
  | { readonly stage: string; readonly kind: "measured"; readonly values: Readonly<Record<string, Value | null>> }
  | { readonly stage: string; readonly kind: "encoded"; readonly tokens: number }
  | { readonly stage: string; readonly kind: "not run" };

/** One document through all stages. */
export interface DocumentHistory {
  readonly id: string;
  readonly source: string;
  readonly name: string;
  readonly file: string;
  readonly place: string;
  readonly shard: string;
  readonly stages: readonly StageFate[];
  readonly isKept: boolean;
}

interface StoredDocument {
  readonly id: string;
  readonly name: string;
  readonly file: string;
  readonly place: string;
  readonly text: string;
}

/**
 * Follows one document through all stages.
 *
 * @param wanted the id of a document or at least 6 of its first digits, the identifier of its file, or `FILE:PLACE`
 * @throws LapidaryError LAP_DATA_NO_DOCUMENT, LAP_DATA_NO_RESULT, LAP_DATA_STORE
 */
export async function whyDocument(out: string, wanted: string, s3?: S3Access): Promise<readonly DocumentHistory[]> {
  const { store, plan } = openResult(out, s3);
  const found: DocumentHistory[] = [];
  for (const shard of plan.shards()) {
    const [first] = shard.accounts;
    const object = first === undefined ? undefined : await store.find(first.key);
    if (object === undefined) continue;
    let row = 0;
    for await (const line of parsedLines(store.read(object, 0))) {
      const document = line as StoredDocument;
      if (isNamed(document, shard.source, wanted)) found.push(await historyOf(store, plan, { shard, row, document }));
      row++;
    }
  }
  if (found.length > 0) return found;
  const first = (await stageAccounts(store, plan))[0];
  const unread = Object.values(first?.counts.dropped ?? {}).reduce((sum, count) => sum + count, 0);
  throw new LapidaryError({
    code: "LAP_DATA_NO_DOCUMENT",
    message: `no document has the name ${wanted}${unread === 0 ? "" : `; ${unread} documents could not be read, and have no name`}`,
    location: out,
    remedy: "write the id of a document, the identifier of its file, or FILE:PLACE such as `a.jsonl:line 3`",
  });
}

function isNamed({ id, name, file, place }: StoredDocument, source: string, wanted: string): boolean {
  if (wanted === name || wanted === `${file}:${place}` || wanted === `${source}/${file}:${place}`) return true;
  return /^[0-9a-f]{6,64}$/.test(wanted) && id.startsWith(wanted);
}

interface Place {
  readonly shard: PlannedShard;
  readonly row: number;
  readonly document: StoredDocument;
}

async function historyOf(store: OutputStore, plan: PlanFile, { shard, row: firstRow, document }: Place): Promise<DocumentHistory> {
  const { id, name, file, place } = document;
  const stages: StageFate[] = [{ stage: "read", kind: "kept" }];
  let row = firstRow;
  for (const account of shard.accounts.slice(1)) {
    const { stage, settings } = ensure(plan.stages[account.stage], "a stage");
    const fate = await fateOf(store, stage, writesOf(stage, settings), account.key, row, id);
    stages.push(fate.fate);
    row = fate.row;
    if (fate.fate.kind === "dropped" || fate.fate.kind === "not run") break;
  }
  const end = stages.at(-1)?.kind;
  return { id, source: shard.source, name, file, place, shard: shard.name, stages, isKept: end !== "dropped" && end !== "not run" };
}

const writesOf = <Name extends StageName>(name: Name, settings: PlanFile["stages"][number]["settings"]): OutputKind => {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const last = stage.steps(settingsAs(name, settings)).at(-1);
  assert(last?.shape === "map" || last?.shape === "join", "a stage ends with a map or a join", name);
  return last.writes;
};

interface Fate {
  readonly fate: StageFate;
  /** The row of the document in the view after the stage. */
  readonly row: number;
}

async function fateOf(store: OutputStore, stage: string, writes: OutputKind, key: string, row: number, id: string): Promise<Fate> {
  if ((await store.find(key)) === undefined) return { fate: { stage, kind: "not run" }, row };
  switch (writes) {
    case "documents":
      return newPlace(store, stage, key, id);
    case "columns":
      return { fate: await measured(store, stage, key, row), row };
    case "edits":
      return { fate: await edited(store, stage, key, row), row };
    case "tokens":
      return { fate: await encoded(store, stage, key, id), row };
    default:
      return assertNever(writes);
  }
}

async function newPlace(store: OutputStore, stage: string, key: string, id: string): Promise<Fate> {
  let row = 0;
  for await (const line of linesOf(store, key)) {
    if ((line as StoredDocument).id === id) return { fate: { stage, kind: "kept" }, row };
    row++;
  }
  const { dropped } = (await storedObject(store, key)).account;
  return { fate: { stage, kind: "dropped", reason: Object.keys(dropped).join(" or ") }, row };
}

async function measured(store: OutputStore, stage: string, key: string, row: number): Promise<StageFate> {
  let names: readonly string[] | undefined;
  for await (const line of linesOf(store, key)) {
    const cells = line as readonly (Value | null)[];
    if (names === undefined) names = line as readonly string[];
    else if (cells[0] === row) {
      if (cells.length === 1) return { stage, kind: "dropped", reason: "kills the stage" };
      return { stage, kind: "measured", values: Object.fromEntries(names.map((name, i) => [name, cells[i + 1] ?? null])) };
    }
  }
  return { stage, kind: "kept" };
}

async function edited(store: OutputStore, stage: string, key: string, row: number): Promise<StageFate> {
  for await (const line of linesOf(store, key)) {
    const edit = line as Edit;
    if (edit.row !== row) continue;
    if ("drop" in edit) return { stage, kind: "dropped", reason: edit.drop };
    if ("text" in edit) return { stage, kind: "changed", removed: ["lines"], bytes: Buffer.byteLength(edit.text) };
    return { stage, kind: "changed", removed: edit.replace.map(([, , by]) => by), bytes: 0 };
  }
  return { stage, kind: "kept" };
}

const recordBytes = 36;

async function encoded(store: OutputStore, stage: string, key: string, id: string): Promise<StageFate> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(await storedObject(store, key), 1)) chunks.push(chunk);
  const table = Buffer.concat(chunks);
  for (let at = 0; at < table.length; at += recordBytes)
    if (table.toString("hex", at, at + 32) === id) return { stage, kind: "encoded", tokens: table.readUInt32LE(at + 32) };
  return { stage, kind: "dropped", reason: "kills the stage" };
}

async function* linesOf(store: OutputStore, key: string): AsyncGenerator<unknown> {
  yield* parsedLines(store.read(await storedObject(store, key), 0));
}
