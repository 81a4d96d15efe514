import { type ArrayOfRun, type CallRequest, ControllerThread, type ProgramResult, recipeFailed, stepProgram } from "@lapidary/recipe/host";
import type { ArrayData, TensorSpec } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { type RecipePath, trainMetrics } from "@lapidary/training";
import type { LoadedProgram, RecipeInputs, RecipeRun, RecipeSteps, StepMetrics } from "./recipe.js";

export interface UserStepsOptions {
  readonly path: RecipePath;
  readonly run: RecipeRun;
  readonly inputs: RecipeInputs;
  /** The arrays that a batch has. */
  readonly batchArrays: readonly string[];
  /** The scalars of the step program. */
  readonly metrics: readonly string[];
  /** The steps of a recipe without a controller. */
  readonly plain: RecipeSteps;
}

/** A loaded program, and the arrays that the controller passes to it. */
interface CalledProgram {
  readonly program: LoadedProgram;
  readonly arrays: readonly TensorSpec[];
  readonly scalars: readonly string[];
  /** The outputs that are arrays. */
  readonly outputs: readonly string[];
}

/** The step that the controller computes. */
interface CurrentStep {
  readonly step: number;
  readonly trace: boolean;
  updates: number;
  metrics?: Readonly<Record<string, number>>;
}

const arrayPrefix = "arrays/";

/** The steps of a run whose recipe has a controller, which runs in its thread and asks for programs. */
export class UserSteps implements RecipeSteps {
  readonly #options: UserStepsOptions;
  readonly #programs = new Map<string, Promise<CalledProgram>>();
  #thread: ControllerThread | undefined;
  #current: CurrentStep | undefined;

  private constructor(options: UserStepsOptions) {
    this.#options = options;
  }

  /** @throws LAP_RECIPE_… if the controller throws */
  static async open(options: UserStepsOptions): Promise<UserSteps> {
    const steps = new UserSteps(options);
    const { path, plain, inputs } = options;
    const { recipe_hash: hash, options: given = {}, seed, train } = inputs.job;
    steps.#thread = await ControllerThread.open(
      { path, hash, options: given, seed, batch: train.batch, seq: train.seq },
      {
        call: (program, request) => steps.#call(program, request),
        update: ({ batch, arrays }) => steps.#update(batch, arrays),
        evaluate: (batches) => plain.evaluate(batches),
        onEvent: (name, values) => inputs.onEvent?.((steps.#current?.step ?? -1) + 1, name, values),
      },
    );
    return steps;
  }

  async step(step: number, batch: number, trace: boolean): Promise<StepMetrics> {
    const current: CurrentStep = { step, trace, updates: 0 };
    this.#current = current;
    const more = await ensure(this.#thread, "thread").step(step, batch);
    const { metrics } = current;
    if (metrics === undefined) throw this.#failed("step", "it did not call run.update, which each step calls once");
    const isOwn = (name: string): boolean => !trainMetrics.some((known) => known === name);
    const own = Object.entries({ ...metrics, ...more }).filter(([name]) => isOwn(name));
    const of = (name: (typeof trainMetrics)[number]): number => ensure(metrics[name], name);
    return {
      loss: of("loss"),
      grad_norm: of("grad_norm"),
      learning_rate: of("learning_rate"),
      tokens_counted: of("tokens_counted"),
      ...(own.length === 0 ? {} : { more: Object.fromEntries(own) }),
    };
  }

  evaluate(batches: number): ReturnType<RecipeSteps["evaluate"]> {
    return ensure(this.#thread, "thread").evaluate(batches);
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }

  async #update(batch: number, arrays: CallRequest["arrays"]): Promise<Readonly<Record<string, number>>> {
    const current = ensure(this.#current, "step");
    if (++current.updates > 1) throw this.#failed("step", "it called run.update twice");
    const { step, trace } = current;
    const { scalars } = await this.#perform(
      stepProgram,
      { batch, ...(arrays === undefined ? {} : { arrays }) },
      { step, trace, update: true },
    );
    current.metrics = scalars;
    return scalars;
  }

  #call(name: string, request: CallRequest): Promise<ProgramResult> {
    const { run } = this.#options;
    if (name === stepProgram || !run.programs.includes(name))
      throw this.#failed("step", `it called the program "${name}", and the recipe has no such program in \`programs\``);
    return this.#perform(name, request, { step: request.batch });
  }

  async #perform(
    name: string,
    { batch, split = "train", arrays = {} }: CallRequest,
    at: { readonly step: number; readonly update?: boolean; readonly trace?: boolean },
  ): Promise<ProgramResult> {
    const { run } = this.#options;
    const called = this.#programs.get(name) ?? this.#load(name);
    this.#programs.set(name, called);
    const { program, arrays: wanted, scalars, outputs } = await called;
    const given = wanted.map((tensor) => [tensor.id, this.#given(name, tensor, arrays)] as const);
    const puts = given.map(([id, array]) => program.put(id, array));
    const fed = program.feed(split, batch);
    const ran = program.run(at);
    const fetched = Promise.all(outputs.map(async (output) => [output, await run.fetch(output)] as const));
    const [report, found] = await Promise.all([ran, fetched, run.drop(outputs), fed, ...puts]);
    return {
      scalars: Object.fromEntries(scalars.map((scalar) => [scalar, ensure(report.scalars.get(scalar), scalar)])),
      arrays: Object.fromEntries(found) as Readonly<Record<string, ArrayOfRun>>,
    };
  }

  async #load(name: string): Promise<CalledProgram> {
    const { run, metrics } = this.#options;
    const { parameters, outputs } = run.tensors(name);
    const arrays = parameters.filter(({ id }) => id.startsWith(arrayPrefix));
    const isStep = name === stepProgram;
    const read = this.#options.batchArrays.filter((array) => parameters.some(({ id }) => id === array));
    const scalars = isStep ? metrics : outputs.filter(({ dims }) => dims.length === 0).map(({ id }) => id);
    const created = isStep ? [] : outputs.filter(({ dims }) => dims.length > 0).map(({ id }) => id);
    const consumes = [...(isStep ? run.states : []), ...read, ...arrays.map(({ id }) => id)];
    const program = await run.load(name, { consumes, creates: isStep ? run.states : created, scalars });
    return { program, arrays, scalars, outputs: created };
  }

  /** The array of the controller for an input. @throws LAP_RECIPE_FAILED if it is missing or of another type */
  #given(program: string, { id, dtype, dims }: TensorSpec, arrays: Readonly<Record<string, ArrayOfRun>>): ArrayData {
    const name = id.slice(arrayPrefix.length);
    const array = arrays[name];
    const size = dims.reduce((product, dim) => product * dim, 1);
    const fits = array?.dtype === dtype && array.dims.join() === dims.join() && array.data.length === size;
    if (array !== undefined && fits) return array;
    throw this.#failed("step", `the array ${name} of the program ${program} must be ${dtype}[${dims.join(",")}]`);
  }

  #failed(where: string, message: string): Error {
    return recipeFailed(this.#options.path, where, new Error(message));
  }
}
