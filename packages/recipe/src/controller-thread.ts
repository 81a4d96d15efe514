import { Worker } from "node:worker_threads";
import { assertNever, errorFromJSON, LapidaryError } from "@lapidary/std";
import type { ControllerAnswer, ControllerData, ControllerRequest, FromController, ToController } from "./controller-messages.js";
import type { CallRequest, Evaluation, ProgramResult, UpdateRequest } from "./definition.js";
import { recipeFailed } from "./recipe-errors.js";

/** The run, as the controller of a recipe uses it. */
export interface ControllerHost {
  call(program: string, request: CallRequest): Promise<ProgramResult>;
  update(request: UpdateRequest): Promise<Readonly<Record<string, number>>>;
  evaluate(batches: number): Promise<Evaluation>;
  onEvent(name: string, values: Readonly<Record<string, number | string>>): void;
}

/**
 * The controller of a user's recipe in a thread, because its code may never return: only ending its thread stops it. The thread is not a sandbox. One step or
 * evaluation runs at a time.
 */
export class ControllerThread {
  readonly #path: string;
  readonly #host: ControllerHost;
  readonly #thread: Worker;
  #waiting: { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void } | undefined;
  /** The first request of the current step that failed, which is the cause of what the recipe then throws. */
  #refused: Error | undefined;
  #failure: Error | undefined;

  private constructor(data: ControllerData, host: ControllerHost) {
    this.#path = data.path;
    this.#host = host;
    this.#thread = new Worker(new URL("./controller-main.js", import.meta.url), { workerData: data });
    this.#thread.on("message", (message: FromController) => this.#receive(message));
    this.#thread.on("error", (error) => this.#fail(recipeFailed(this.#path, "the recipe, outside of a step,", error)));
    this.#thread.on("exit", () => this.#fail(recipeFailed(this.#path, "the recipe", new Error("it ended its thread"))));
  }

  /** @throws LAP_RECIPE_… if the module cannot be loaded or its controller throws */
  static async open(data: ControllerData, host: ControllerHost): Promise<ControllerThread> {
    const thread = new ControllerThread(data, host);
    try {
      await thread.#answerTo(undefined);
      return thread;
    } catch (error) {
      await thread.close();
      throw error;
    }
  }

  /** @returns further metrics. @throws LAP_RECIPE_FAILED, or the error of a request of the recipe */
  async step(step: number, batch: number): Promise<Readonly<Record<string, number>>> {
    const more = (await this.#answerTo({ kind: "step", step, batch })) ?? {};
    for (const [name, value] of Object.entries(more))
      if (typeof value !== "number")
        throw recipeFailed(this.#path, "step", new TypeError(`the metric ${name} is ${typeof value}, expected a number`));
    return more as Readonly<Record<string, number>>;
  }

  async evaluate(batches: number): Promise<Evaluation> {
    const evaluation = (await this.#answerTo({ kind: "evaluate", batches })) as Evaluation | undefined;
    if (typeof evaluation?.loss === "number" && typeof evaluation.tokens === "number") return evaluation;
    throw recipeFailed(this.#path, "evaluate", new TypeError("it returned no numbers `loss` and `tokens`"));
  }

  async close(): Promise<void> {
    this.#failure ??= recipeFailed(this.#path, "the recipe", new Error("its thread is closed"));
    await this.#thread.terminate();
  }

  async #answerTo(message: ToController | undefined): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#refused = undefined;
    return await new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (message !== undefined) this.#send(message);
    });
  }

  #send(message: ToController): void {
    this.#thread.postMessage(message);
  }

  #receive(message: FromController): void {
    switch (message.kind) {
      case "ready":
        return this.#waiting?.resolve(undefined);
      case "done":
        return this.#refused === undefined ? this.#waiting?.resolve(message.value) : this.#waiting?.reject(this.#refused);
      case "failed":
        return this.#waiting?.reject(this.#refused ?? errorFromJSON(message.error));
      case "event":
        return this.#host.onEvent(message.name, message.values);
      case "request":
        return void this.#serve(message.id, message.request);
      default:
        return assertNever(message);
    }
  }

  async #serve(id: number, request: ControllerRequest): Promise<void> {
    try {
      this.#send({ kind: "answer", id, value: await this.#perform(request) });
    } catch (error) {
      const known = error instanceof LapidaryError ? error : recipeFailed(this.#path, request.op, error);
      this.#refused ??= known;
      this.#send({ kind: "refusal", id, error: known.toJSON() });
    }
  }

  #perform(request: ControllerRequest): Promise<ControllerAnswer> {
    switch (request.op) {
      case "call":
        return this.#host.call(request.program, request.request);
      case "update":
        return this.#host.update(request.request);
      case "evaluate":
        return this.#host.evaluate(request.batches);
    }
  }

  /** The first failure is the cause, and the end of the thread follows from it. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
  }
}
