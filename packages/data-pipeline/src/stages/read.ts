import { Account } from "@lapidary/data-store";
import { readFile, type SourceDocument } from "@lapidary/readers";
import { z } from "zod";
import { jsonLines } from "../view/json-lines.js";
import type { ShardView } from "../view/view.js";
import type { Stage, StageOutput } from "./stage.js";

const settings = z.strictObject({
  /** The field or column of the text, and of the identifier. */
  text: z.string().min(1).optional(),
  id: z.string().min(1).optional(),
});

export type ReadSettings = z.infer<typeof settings>;

/** Files → documents. What cannot be read is dropped with its reason, or is an error of its file. */
export const read: Stage<ReadSettings> = {
  settings,
  changes: false,
  steps: () => [{ shape: "map", name: "read", code: "1", writes: "documents", run: readShard }],
};

async function* readShard(view: ShardView, { text, id }: ReadSettings): StageOutput {
  const account = new Account();
  async function* documents(): AsyncGenerator<object> {
    for await (const { path, file, range } of view.files()) {
      const input = { path, source: view.source, file, ...(text === undefined ? {} : { textField: text }) };
      const found = readFile(
        { ...input, ...(id === undefined ? {} : { nameField: id }), ...(range === undefined ? {} : { range }) },
        account,
      );
      for await (const document of found) yield storedDocument(document);
    }
  }
  yield jsonLines(documents());
  return account.counts(view.name);
}

const storedDocument = ({ id, name, file, place, mediaType, text }: SourceDocument): object => ({
  id,
  name,
  file,
  place,
  ...(mediaType === "text/html" ? { html: true } : {}),
  text,
});
