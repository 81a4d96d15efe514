import { Worker } from "node:worker_threads";
import { errorFromJSON } from "@lapidary/std";
import { chatTokenizer } from "../examples/chat-tokenizer.js";
import type { EncodedPair } from "../examples/encode.js";
import { turnTokenizer } from "./encode-example-set.js";
import { type EncodedExamples, ExampleSet, type ExampleSetRequest, type PairSetRequest, type TextPrompt } from "./example-set.js";
import type { ExampleSetThreadData, FromExampleSetThread } from "./example-set-thread.js";

/** @throws LapidaryError as `prepareRows`; the reason of the signal */
export const readPairs = (request: PairSetRequest, signal?: AbortSignal): Promise<ExampleSet<EncodedPair>> =>
  readExampleSet("pairs", request, signal);

/** @throws LapidaryError as `prepareRows`; the reason of the signal */
export const readPrompts = (request: ExampleSetRequest, signal?: AbortSignal): Promise<ExampleSet<TextPrompt>> =>
  readExampleSet("prompts", request, signal);

/** Files of examples can be large: a thread reads, filters and encodes them, so that the coordinator continues to answer. */
async function readExampleSet<T>(
  kind: ExampleSetThreadData["kind"],
  request: ExampleSetRequest,
  signal: AbortSignal | undefined,
): Promise<ExampleSet<T>> {
  const examples = (await encodeInThread({ kind, request }, signal)) as EncodedExamples<T>;
  const { tokenizer, files: tokenizerFiles } = turnTokenizer(request.tokenizer);
  const { rowsPerExample } = request;
  return new ExampleSet({ ...examples, kind, rowsPerExample, tokenizer, tokenizerFiles, chat: chatTokenizer(tokenizer) });
}

async function encodeInThread(workerData: ExampleSetThreadData, signal: AbortSignal | undefined): Promise<EncodedExamples<unknown>> {
  signal?.throwIfAborted();
  const thread = new Worker(new URL("./example-set-thread.js", import.meta.url), { workerData });
  const abort = (): void => void thread.terminate();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await new Promise((done, fail) => {
      thread.once("message", (message: FromExampleSetThread) =>
        message.kind === "done" ? done(message.examples) : fail(errorFromJSON(message.error)),
      );
      thread.once("error", fail);
      thread.once("exit", (code) =>
        fail(signal?.aborted === true ? signal.reason : new Error(`the thread that reads examples ended with code ${code}`)),
      );
    });
  } finally {
    signal?.removeEventListener("abort", abort);
    await thread.terminate();
  }
}
