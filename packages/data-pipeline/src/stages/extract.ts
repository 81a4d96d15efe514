import { Account } from "@lapidary/data-store";
import { mainText } from "@lapidary/readers";
import { z } from "zod";
import { jsonLines } from "../view/json-lines.js";
import type { ShardView } from "../view/view.js";
import { killsTheStage } from "./map-documents.js";
import type { Stage, StageOutput } from "./stage.js";

const settings = z.literal("main-text");
export type ExtractSettings = z.infer<typeof settings>;

/** Pages → their main text. Documents that are not HTML stay as they are. */
export const extract: Stage<ExtractSettings> = {
  settings,
  changes: true,
  steps: () => [{ shape: "map", name: "extract", code: "1", writes: "documents", run: extractShard }],
};

async function* extractShard(view: ShardView): StageOutput {
  const account = new Account();
  async function* documents(): AsyncGenerator<object> {
    for await (const document of view.documents()) {
      account.enter();
      const { id, name, file, place, html } = document;
      if (view.setAside.has(id)) {
        account.dropDocument(document, killsTheStage);
        continue;
      }
      const text = html ? mainText(document.text) : document.text;
      if (text.trim() === "") account.dropDocument(document, "no main text");
      else {
        account.deliver(text);
        account.cut("markup", html ? Math.max(0, Buffer.byteLength(document.text) - Buffer.byteLength(text)) : 0);
        yield { id, name, file, place, text };
      }
    }
  }
  yield jsonLines(documents());
  return account.counts(view.name);
}
