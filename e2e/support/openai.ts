import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./cli.js";
import { runSuccessfully } from "./xla.js";

/** The part of the client of the OpenAI API that the test uses. */
interface OpenAiClient {
  readonly chat: {
    readonly completions: { create(body: object, options?: { readonly signal?: AbortSignal }): Promise<ChatAnswer & ChatStream> };
  };
  readonly completions: {
    create(body: object): Promise<{ readonly choices: readonly { readonly text: string; readonly finish_reason: string }[] }>;
  };
  readonly models: { list(): Promise<{ readonly data: readonly { readonly id: string }[] }> };
}

interface ChatAnswer {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage: { readonly completion_tokens: number };
}

type ChatStream = AsyncIterable<{ readonly choices: readonly { readonly delta: { readonly content?: string } }[] }> & {
  readonly controller: AbortController;
};

interface OpenAiModule {
  readonly OpenAI: new (options: { readonly baseURL: string; readonly apiKey: string; readonly maxRetries: number }) => OpenAiClient;
}

/** The pinned npm package `openai`, from the cache. Downloads it if it is missing. */
export async function openAiModule(): Promise<OpenAiModule> {
  const path = (await runSuccessfully(process.execPath, [join(root, "tools/openai-client.mjs")])).stdout.trim();
  return (await import(pathToFileURL(path).href)) as OpenAiModule;
}
