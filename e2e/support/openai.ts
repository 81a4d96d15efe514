import { importCached } from "@lapidary/std/testing";

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
  return (await importCached("openai", "openai")) as OpenAiModule;
}
