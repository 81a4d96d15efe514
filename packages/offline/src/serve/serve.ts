import { statSync } from "node:fs";
import { openHome } from "@lapidary/api/home-directory";
import { HfCheckpoint } from "@lapidary/interop";
import { serveModel } from "@lapidary/serving";
import { LapidaryError, type Warning } from "@lapidary/std";
import { homeToken } from "@lapidary/telemetry";
import { readTokenizer, type TextTokenizer } from "@lapidary/tokenizer";
import { defaultBatchRows, openSampler } from "@lapidary/trainer";
import { type Chat, chatOf } from "../generation/chat.js";
import type { Reporter } from "../reporter.js";
import { SamplerEngine } from "./sampler-engine.js";

export interface ServeRequest {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  /** The name of the model for clients. */
  readonly modelId: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Host names that the server answers for besides loopback names, in lower case. */
  readonly allowedHosts: readonly string[];
  /** Maximum number of texts that the model generates together. Undefined: the default. */
  readonly batchRows: number | undefined;
  /** The state directory, which has the token. */
  readonly home: string;
}

export interface ServeEnvironment {
  readonly env: NodeJS.ProcessEnv;
  /** Stops the start of the server. */
  readonly signal: AbortSignal;
  /** Called with internal errors and failures of the model. */
  readonly onFailure: (error: unknown) => void;
}

export interface ServedModel {
  readonly port: number;
  readonly token: string;
  /** Whether the model has a chat template. */
  readonly hasChat: boolean;
  /** Maximum number of tokens of prompt and answer. */
  readonly context: number;
  readonly batchRows: number;
  readonly warnings: readonly Warning[];
  /** Settles, and never rejects, when the worker process has failed. */
  readonly failed: Promise<LapidaryError>;
  /** Fails all requests, and ends server and worker. */
  close(): Promise<void>;
}

/**
 * Serves the model of a checkpoint on the loopback interface, with a worker process of its own.
 *
 * @throws LAP_CHECKPOINT_…, LAP_TOKENIZER_…, LAP_PORT_TAKEN, LAP_HOME_…
 */
export async function serveCheckpoint(
  { checkpoint, modelId, port, allowedHosts, batchRows = defaultBatchRows, home }: ServeRequest,
  { env, signal, onFailure }: ServeEnvironment,
  reporter: Reporter,
): Promise<ServedModel> {
  const headers = await HfCheckpoint.open(checkpoint, "headers");
  await headers.close();
  const warnings = [...headers.warnings, ...openHome(home)];
  warnings.forEach(reporter.warn);
  const token = homeToken(home, "serve-token");
  const { tokenizer } = readTokenizer(checkpoint);
  const chat = findChat(tokenizer);
  reporter.progress("load the checkpoint");
  const sampler = await openSampler({
    checkpoint,
    tokenizer,
    first: { rows: 1, promptTokens: 32 },
    environment: env,
    signal,
    log: (worker, line) => reporter.detail(`${worker}: ${line}`),
  });
  try {
    const modelCreated = Math.floor(statSync(checkpoint).mtimeMs / 1000);
    const engine = new SamplerEngine({ sampler, modelId, modelCreated, chat, batchRows });
    const server = await serveModel({ port, token, allowedHosts, engine, onFailure });
    return {
      port: server.port,
      token,
      hasChat: chat !== undefined,
      context: sampler.context,
      batchRows,
      warnings,
      failed: sampler.failed,
      close: () => server.close().finally(() => sampler.close()),
    };
  } catch (error) {
    await sampler.close();
    throw error;
  }
}

/** A model without tokens for turns has no chat template: its server answers chats with LAP_SERVE_NO_CHAT. */
function findChat(tokenizer: TextTokenizer): Chat | undefined {
  try {
    return chatOf(tokenizer);
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_EXAMPLE_TURN_TOKENS") return undefined;
    throw error;
  }
}
