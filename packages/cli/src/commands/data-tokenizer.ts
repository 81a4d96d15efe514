import { resolve } from "node:path";
import { trainTokenizerModel } from "@lapidary/offline/data-tokenizer";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataTokenizerOptions {
  readonly files: readonly string[];
  readonly output: string;
  readonly vocab: number | undefined;
  readonly bytes: number | undefined;
}

/** `lapidary data tokenizer FILES` trains a SentencePiece model. */
export async function trainDataTokenizer({ console, cwd }: Context, options: DataTokenizerOptions): Promise<ExitCode> {
  const output: Output = { kind: "file", path: resolve(cwd, options.output), what: "the tokenizer" };
  checkOutput(output);
  const reporter = consoleReporter(console);
  const files = options.files.map((file) => resolve(cwd, file));
  const { vocab: vocabSize = 32_000, bytes: maxBytes = 2e9 } = options;
  const { file, ids, bytes } = await Promise.resolve()
    .then(() => trainTokenizerModel({ files, vocabSize, maxBytes }, reporter))
    .finally(reporter.end);
  writeOutputFile(output.path, output.what, file);
  console.result({ files, bytes, ids, output: output.path }, () => `${output.path}: ${ids} ids from ${bytes} bytes of text`);
  return ExitCode.done;
}
