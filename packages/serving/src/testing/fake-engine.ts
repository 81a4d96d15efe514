import { LapidaryError } from "@lapidary/std";
import type { ChatMessage, GenerationEngine, GenerationRow, TokenTextStream } from "../engine.js";

/** Ids of the fake tokenizer: bytes of UTF-8, the start of a text, and a token with a long text. */
const startId = 256;
export const longTokenId = 257;
export const longTokenText = "x".repeat(1 << 16);

export interface FakeEngineOptions {
  /** Default 4096. */
  readonly contextLength?: number;
  /** Default 1. */
  readonly maxBatchRows?: number;
  /** Default 1. */
  readonly maxConcurrentCalls?: number;
  /** Default: no log probabilities. */
  readonly maxTopLogprobs?: number;
  /** The text or the ids that follow a prompt. Default: the prompt itself. */
  readonly reply?: (prompt: string, row: GenerationRow) => string | readonly number[];
  /** Runs before each token. Default: one turn of the event loop. */
  readonly beforeToken?: () => Promise<void>;
  readonly canBatch?: (rows: readonly GenerationRow[]) => boolean;
  /** Whether the model has a chat template. Default true. */
  readonly hasChat?: boolean;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An engine without a model: it returns fixed texts byte by byte, and records what the server asks for. */
export class FakeEngine implements GenerationEngine {
  readonly modelId = "org/fake";
  readonly modelCreated = 1_700_000_000;
  readonly vocabSize = longTokenId + 1;
  readonly contextLength: number;
  readonly maxBatchRows: number;
  readonly maxConcurrentCalls: number;
  declare readonly maxTopLogprobs?: number;
  declare readonly encodeChat?: (messages: readonly ChatMessage[]) => readonly number[];
  declare readonly canBatch?: (rows: readonly GenerationRow[]) => boolean;
  /** The rows of every call. */
  readonly calls: (readonly GenerationRow[])[] = [];
  /** Calls in flight, and their greatest number. */
  running = 0;
  maxRunning = 0;
  /** Rows whose abort the engine saw. */
  aborted = 0;
  readonly #options: FakeEngineOptions;

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.contextLength = options.contextLength ?? 4096;
    this.maxBatchRows = options.maxBatchRows ?? 1;
    this.maxConcurrentCalls = options.maxConcurrentCalls ?? 1;
    if (options.maxTopLogprobs !== undefined) this.maxTopLogprobs = options.maxTopLogprobs;
    if (options.canBatch !== undefined) this.canBatch = options.canBatch;
    if (options.hasChat !== false) this.encodeChat = fakeTemplate;
  }

  encodePrompt(text: string): readonly number[] {
    return [startId, ...Buffer.from(text)];
  }

  decodeStream(_after: readonly number[]): TokenTextStream {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push: (id) => (id === longTokenId ? longTokenText : id > 255 ? "" : decoder.decode(Uint8Array.of(id), { stream: true })),
      end: () => decoder.decode(),
    };
  }

  async generate(rows: readonly GenerationRow[]): Promise<void> {
    this.calls.push(rows);
    this.running++;
    this.maxRunning = Math.max(this.maxRunning, this.running);
    try {
      await Promise.all(this.#interleaved(rows));
    } finally {
      this.running--;
    }
  }

  #interleaved(rows: readonly GenerationRow[]): Promise<void>[] {
    return rows.map(async (row) => {
      const { reply = (prompt) => prompt, beforeToken = nextTurn } = this.#options;
      const text = reply(Buffer.from(row.prompt.filter((id) => id < 256)).toString(), row);
      const ids = typeof text === "string" ? [...Buffer.from(text)] : text;
      for (const id of ids.slice(0, row.maxTokens)) {
        await beforeToken();
        if (row.signal.aborted) return void this.aborted++;
        const { topLogprobs } = row;
        const top = Array.from({ length: topLogprobs ?? 0 }, (_, i) => ({ id: (id + i) % 128, logprob: -0.5 - i }));
        row.onToken(topLogprobs === undefined ? { id } : { id, logprob: -0.5, top });
      }
      if (row.signal.aborted) this.aborted++;
      else row.onEnd(ids.length < row.maxTokens ? "stop" : "length");
    });
  }
}

/** Each message as `<role>content`, one a line. A system message must come first. */
function fakeTemplate(messages: readonly ChatMessage[]): readonly number[] {
  const late = messages.findIndex(({ role }, i) => role === "system" && i > 0);
  if (late > 0)
    throw new LapidaryError({
      code: "LAP_CONFIG_VALUE",
      message: `message ${late} is a system message`,
      location: "messages",
      remedy: "write the system message first",
    });
  return [startId, ...Buffer.from(`${messages.map(({ role, content }) => `<${role}>${content}`).join("\n")}\n<assistant>`)];
}
