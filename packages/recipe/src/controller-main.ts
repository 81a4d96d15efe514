import { parentPort, workerData } from "node:worker_threads";
import { assert, ensure, errorFromJSON, LapidaryError } from "@lapidary/std";
import type { ControllerAnswer, ControllerData, ControllerRequest, FromController, ToController } from "./controller-messages.js";
import type { Evaluation, ProgramResult, RecipeController, RecipeRun } from "./definition.js";
import { importRecipe } from "./import-recipe.js";
import { parseOptions } from "./options.js";
import { recipeFailed } from "./recipe-errors.js";

/** The thread of a controller: loads the module of the recipe, then answers one step or evaluation a message. */

const port = ensure(parentPort, "the parent of the thread");
const send = (message: FromController): void => port.postMessage(message);
const { path, hash, options, seed, batch, seq } = workerData as ControllerData;
const waiting = new Map<number, { readonly resolve: (value: ControllerAnswer) => void; readonly reject: (error: Error) => void }>();
const counter = { next: 1 };

function ask(request: ControllerRequest): Promise<ControllerAnswer> {
  const id = counter.next++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    send({ kind: "request", id, request });
  });
}

async function load(): Promise<RecipeController> {
  const definition = await importRecipe(path, hash);
  const { controller } = definition;
  assert(controller !== undefined, "the recipe has a controller");
  const run: RecipeRun = {
    options: parseOptions(definition.options ?? {}, options) as RecipeRun["options"],
    seed,
    batch,
    seq,
    call: async (program, request) => (await ask({ op: "call", program, request })) as ProgramResult,
    update: async (request) => (await ask({ op: "update", request })) as Readonly<Record<string, number>>,
    evaluate: async (batches) => (await ask({ op: "evaluate", batches })) as Evaluation,
    emit: (name, values) => send({ kind: "event", name, values }),
  };
  try {
    const opened = await controller(run);
    if (typeof opened?.step !== "function") throw new TypeError("the controller has no function `step`");
    return { step: (at) => opened.step(at), evaluate: (batches) => opened.evaluate?.(batches) ?? run.evaluate(batches) };
  } catch (error) {
    throw recipeFailed(path, "controller", error);
  }
}

/** Sends the result of code of the recipe, or its error. An error of the run passes through the recipe as it is. */
async function answer(what: string, result: Promise<Evaluation | Readonly<Record<string, number>> | undefined>): Promise<void> {
  try {
    send({ kind: "done", value: await result });
  } catch (error) {
    send({ kind: "failed", error: (error instanceof LapidaryError ? error : recipeFailed(path, what, error)).toJSON() });
  }
}

function receive(controller: RecipeController, message: ToController): void {
  switch (message.kind) {
    case "step":
      return void answer(
        "step",
        Promise.resolve().then(() => controller.step({ step: message.step, batch: message.batch })),
      );
    case "evaluate":
      return void answer(
        "evaluate",
        Promise.resolve().then(() => controller.evaluate?.(message.batches)),
      );
    default: {
      const { resolve, reject } = ensure(waiting.get(message.id), "request");
      waiting.delete(message.id);
      if (message.kind === "answer") resolve(message.value);
      else reject(errorFromJSON(message.error));
    }
  }
}

try {
  const controller = await load();
  port.on("message", (message: ToController) => receive(controller, message));
  send({ kind: "ready" });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  send({ kind: "failed", error: error.toJSON() });
}
