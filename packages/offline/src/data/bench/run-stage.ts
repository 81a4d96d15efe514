import { closeSync, openSync, writeSync } from "node:fs";
import { readTree } from "@lapidary/readers";
import { z } from "zod";
import type { StageFiles } from "./stage.js";
import { stageOf } from "./stages.js";

/** One stage on one corpus, in a process of its own. */
export const stageRequest = z.object({
  stage: z.string(),
  /** The directory of the corpus. */
  corpus: z.string(),
  /** The file that the stage writes. */
  output: z.string(),
  files: z.object({ fixtures: z.string(), tokenizer: z.string(), unigram: z.string() }) satisfies z.ZodType<StageFiles>,
});

/** What one run of a stage took, from the first document that is read to the last that is written. */
export const stageTimes = z.object({
  seconds: z.number(),
  /** Processor time of all threads. */
  cpu_s: z.number(),
  documents_in: z.number(),
  documents_out: z.number(),
  /** Of UTF-8 text in the documents that came in. */
  bytes: z.number(),
  /** The greatest resident memory of the process. */
  peak_bytes: z.number(),
});

export type StageTimes = Readonly<z.infer<typeof stageTimes>>;

/** The file is written in pieces of about this many bytes. */
const pieceBytes = 1 << 18;

export async function runStage({ stage, corpus, output, files }: z.infer<typeof stageRequest>): Promise<StageTimes> {
  const handle = stageOf(stage).open(files);
  const written = new PieceWriter(output);
  let [documentsIn, documentsOut, bytes] = [0, 0, 0];
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  for await (const document of readTree({ root: corpus, source: "bench", onFile: () => undefined })) {
    documentsIn++;
    bytes += Buffer.byteLength(document.text);
    const result = handle(document);
    if (result === undefined) continue;
    documentsOut++;
    written.add(result);
  }
  written.end();
  const { user, system } = process.cpuUsage(cpu);
  return {
    seconds: (performance.now() - start) / 1000,
    cpu_s: (user + system) / 1e6,
    documents_in: documentsIn,
    documents_out: documentsOut,
    bytes,
    peak_bytes: process.resourceUsage().maxRSS * 1024,
  };
}

/** Collects small outputs, so that a document does not cost a system call. */
class PieceWriter {
  readonly #file: number;
  #texts: string[] = [];
  #bytes: Uint8Array[] = [];
  #size = 0;

  constructor(path: string) {
    this.#file = openSync(path, "w");
  }

  /** All outputs of a stage are of one type. */
  add(output: string | Uint8Array): void {
    if (typeof output === "string") this.#texts.push(output);
    else this.#bytes.push(output);
    this.#size += output.length;
    if (this.#size >= pieceBytes) this.#flush();
  }

  end(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    const all = Buffer.concat([Buffer.from(this.#texts.join("")), ...this.#bytes]);
    for (let at = 0; at < all.length; ) at += writeSync(this.#file, all, at);
    [this.#texts, this.#bytes, this.#size] = [[], [], 0];
  }
}
