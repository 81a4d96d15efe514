import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { Account } from "@lapidary/data-store";
import { readFile } from "@lapidary/readers";
import { fixtureFiles } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

/** The documents of files of many formats, whole and damaged, with an account of each file. */
export const ingest: JudgeTask = {
  name: "ingest",
  async *answers(fixtures) {
    for (const path of fixtureFiles(fixtures, join("ingest", "files"), /./)) {
      const file = basename(path);
      const account = new Account();
      const documents: { id: string; text_sha256: string }[] = [];
      for await (const { name, text } of readFile({ path: join(fixtures, path), source: "ingest", file }, account))
        documents.push({ id: name, text_sha256: createHash("sha256").update(text).digest("hex") });
      const { out, dropped, errors } = account.counts(file);
      yield { file, out, dropped, file_error: errors.map(({ reason }) => reason).join("; ") || null, documents };
    }
  },
};
