import type { IncomingMessage } from "node:http";
import type { Clock } from "@lapidary/std";
import { answerGeneration } from "../answers/answer-generation.js";
import type { AnswerFormat } from "../answers/answer-format.js";
import { chatFormat } from "../answers/chat-format.js";
import { completionFormat } from "../answers/completion-format.js";
import type { GenerationEngine } from "../engine.js";
import { malformedError, methodError, modelError, routeError } from "../errors.js";
import type { GenerationPlan } from "../generation/plan.js";
import type { Scheduler } from "../generation/scheduler.js";
import { planChat } from "../requests/chat-request.js";
import { planCompletion } from "../requests/completion-request.js";
import type { Fields } from "../requests/fields.js";
import type { Answer } from "./answer.js";
import { readBody } from "./read-body.js";

export interface RouteContext {
  readonly engine: GenerationEngine;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly randomSeed: () => number;
  readonly newId: () => string;
  readonly bodyLimit_bytes: number;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly answer: Answer;
  /** Aborted when the client closes the connection. */
  readonly signal: AbortSignal;
}

interface Route {
  readonly method: "GET" | "POST";
  readonly handle: (exchange: Exchange, context: RouteContext) => Promise<void> | void;
}

const routes: Readonly<Record<string, Route>> = {
  "/health": {
    method: "GET",
    handle({ answer }, { engine, scheduler }) {
      const { waitingRows, runningRows } = scheduler.activity;
      answer.json(200, { status: "ok", model: engine.modelId, waiting: waitingRows, running: runningRows });
    },
  },
  "/v1/models": {
    method: "GET",
    handle: ({ answer }, { engine }) => answer.json(200, { object: "list", data: [modelObject(engine)] }),
  },
  "/v1/chat/completions": { method: "POST", handle: (exchange, context) => generateRoute(exchange, context, planChat, chatFormat) },
  "/v1/completions": { method: "POST", handle: (exchange, context) => generateRoute(exchange, context, planCompletion, completionFormat) },
};

const modelPrefix = "/v1/models/";

/** @throws LapidaryError, whose status and body `errorAnswer` has */
export async function route(exchange: Exchange, context: RouteContext): Promise<void> {
  const { method = "", url = "" } = exchange.request;
  const path = url.split("?")[0] ?? "";
  const found = path.startsWith(modelPrefix) ? modelRoute(path.slice(modelPrefix.length)) : routeAt(path);
  if (found === undefined) throw routeError(method, path);
  if (method !== found.method) throw methodError(method, found.method);
  await found.handle(exchange, context);
}

const routeAt = (path: string): Route | undefined => (Object.hasOwn(routes, path) ? routes[path] : undefined);

const modelRoute = (encodedId: string): Route => ({
  method: "GET",
  handle({ answer }, { engine }) {
    const id = decodeId(encodedId);
    if (id !== engine.modelId) throw modelError(id, engine.modelId);
    answer.json(200, modelObject(engine));
  },
});

function decodeId(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw malformedError("the URL is invalid", cause);
  }
}

const modelObject = ({ modelId, modelCreated }: GenerationEngine): object => ({
  id: modelId,
  object: "model",
  created: modelCreated,
  owned_by: "lapidary",
});

async function generateRoute(
  { request, answer, signal }: Exchange,
  context: RouteContext,
  plan: (body: Fields, engine: GenerationEngine) => GenerationPlan,
  format: AnswerFormat,
): Promise<void> {
  const { engine, clock, newId, bodyLimit_bytes } = context;
  const planned = plan(await readBody(request, bodyLimit_bytes), engine);
  const created = Math.floor(clock.now() / 1000);
  await answerGeneration(planned, answer, { ...context, signal, format, id: newId(), created });
}
