import { Account } from "@lapidary/data-store";
import { jsonLines } from "../view/json-lines.js";
import type { Edit, ShardView, Value, ViewDocument } from "../view/view.js";
import type { StageOutput } from "./stage.js";

/** The reason of a document that ends the process of a stage. */
export const killsTheStage = "kills the stage";

/** A part of a text that a stage removes or replaces. Offsets are UTF-16. */
interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly by: string;
  /** For the account. */
  readonly reason: string;
}

/** What a stage decides about a document. Undefined: the document stays as it is. */
export type Decision =
  | { readonly drop: string }
  /** A new text, and why it is shorter. */
  | { readonly text: string; readonly reason: string }
  | { readonly replace: readonly Replacement[] }
  | undefined;

/**
 * The output of a map or join that edits documents: one decision for each. Only edited documents are written.
 *
 * @param decide may also count in the account what the decision does not say
 */
export async function* editDocuments(
  view: ShardView,
  decide: (document: ViewDocument, account: Account) => Decision | Promise<Decision>,
): StageOutput {
  const account = new Account();
  async function* edits(): AsyncGenerator<Edit> {
    for await (const document of view.documents()) {
      account.enter();
      const decision = view.setAside.has(document.id) ? { drop: killsTheStage } : await decide(document, account);
      const edit = editOf(document, decision, account);
      if (edit !== undefined) yield edit;
    }
  }
  yield jsonLines(edits());
  return account.counts(view.name);
}

function editOf(document: ViewDocument, decision: Decision, account: Account): Edit | undefined {
  const { row, text } = document;
  if (decision === undefined) {
    account.deliver(text);
    return undefined;
  }
  if ("drop" in decision) {
    account.dropDocument(document, decision.drop);
    return { row, drop: decision.drop };
  }
  if ("text" in decision) {
    account.deliver(decision.text);
    account.cut(decision.reason, Math.max(0, Buffer.byteLength(text) - Buffer.byteLength(decision.text)));
    return { row, text: decision.text };
  }
  for (const { start, end, reason } of decision.replace) account.cut(reason, Buffer.byteLength(text.slice(start, end)));
  const replace = decision.replace.map(({ start, end, by }): [number, number, string] => [start, end, by]);
  account.deliver(replaced(text, replace));
  return replace.length === 0 ? undefined : { row, replace };
}

/** The text with parts replaced. The parts are in order and do not overlap. */
export function replaced(text: string, parts: readonly (readonly [number, number, string])[]): string {
  let [result, at] = ["", 0];
  for (const [start, end, by] of parts) [result, at] = [result + text.slice(at, start) + by, end];
  return result + text.slice(at);
}

/** The output of a map that computes columns. The first line has their names. A line is a row number and its values. */
export async function* measureDocuments(
  view: ShardView,
  columns: readonly string[],
  measure: (document: ViewDocument) => readonly Value[],
): StageOutput {
  const account = new Account();
  async function* lines(): AsyncGenerator<unknown> {
    yield columns;
    for await (const document of view.documents()) {
      account.enter();
      if (view.setAside.has(document.id)) {
        account.dropDocument(document, killsTheStage);
        yield [document.row];
        continue;
      }
      const values = measure(document);
      for (const [i, value] of values.entries()) if (typeof value === "number") account.observe(columns[i] ?? "", value);
      account.deliver(document.text);
      // JSON has no NaN: a value that is missing is null.
      yield [document.row, ...values];
    }
  }
  yield jsonLines(lines());
  return account.counts(view.name);
}
