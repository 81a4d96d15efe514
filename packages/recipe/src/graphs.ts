import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import {
  buildModel,
  countedLoss,
  type HiddenOptions,
  logitsOf,
  meanLoss,
  type Model,
  type ModelConfig,
  tokenLosses,
} from "@lapidary/models";
import { attentionOptions, targetInputs, tokenInputs, trainedModel, trainedStates } from "@lapidary/post-training";
import { ensure, LapidaryError } from "@lapidary/std";
import {
  applyUpdate,
  initGraph,
  nextTokenLogits,
  paramName,
  stateParameter,
  type StateSpec,
  trainMetrics,
  type UpdateConfig,
  weightParameters,
} from "@lapidary/training";
import type { GraphInputs, ParameterSetInputs, RecipeDefinition, TokenLosses } from "./definition.js";
import { parseOptions } from "./options.js";
import { badRecipeModule, recipeFailed } from "./recipe-errors.js";

/** What decides the graphs of a user's recipe, besides its module. */
export interface GraphRequest {
  /** The path of the module, for errors. */
  readonly path: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** The models of the frozen parameter sets. */
  readonly sets: Readonly<Record<string, ModelConfig>>;
  /** Whether rows hold documents that do not see each other, with the array `segments`. */
  readonly segments: boolean;
  readonly model: ModelConfig;
  readonly update: UpdateConfig;
  readonly batch: number;
  readonly seq: number;
  readonly seed: number;
}

interface NamedGraph {
  readonly trace: () => Graph;
  readonly rules?: Readonly<Record<string, null>>;
}

/** The names of the programs that every recipe of a user has. */
export const stepProgram = "recipe_step";
const reserved = [stepProgram, "init", "eval_step", "next_token"];

/**
 * The programs of a user's recipe:
 *
 *     init           → states of step 0
 *     recipe_step    states, (sets), tokens, targets, mask, (segments), (arrays) → states, metrics
 *     eval_step      params, (sets), tokens, targets, mask, (segments) → loss_sum, tokens_counted
 *     next_token     params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 *     each of the definition's `programs`
 *
 * @throws LAP_RECIPE_OPTION or LAP_RECIPE_MODULE; `trace` of a graph throws LAP_RECIPE_FAILED if the code of the recipe throws
 */
export function userGraphs(
  definition: RecipeDefinition,
  request: GraphRequest,
): { readonly graphs: Readonly<Record<string, NamedGraph>>; readonly states: readonly StateSpec[]; readonly frozen: readonly StateSpec[] } {
  const options = parseOptions(definition.options ?? {}, request.options) as GraphInputs["options"];
  checkSets(definition, request);
  const model = buildModel(request.model);
  const states = trainedStates(model, request.update);
  const trace = (name: string, build: (g: GraphBuilder, inputs: Inputs) => void): NamedGraph => ({
    trace: () => {
      const g = new GraphBuilder(name);
      build(g, new Inputs(g, request, options, model));
      return g.finish();
    },
  });
  return {
    graphs: {
      [stepProgram]: { trace: () => stepGraph(definition, request, options, model) },
      init: { trace: () => initGraph(states, request.seed) },
      eval_step: trace("eval_step", (g, inputs) => evalGraph(definition, request, g, inputs)),
      // One row of text does not divide over the data axes: every replica computes it.
      next_token: { trace: () => nextTokenLogits(model, { batch: 1, seq: request.seq }), rules: { batch: null } },
      ...Object.fromEntries(
        Object.entries(definition.programs ?? {}).map(([name, build]) => [
          name,
          trace(name, (g, inputs) => userGraph(name, build, request, g, inputs)),
        ]),
      ),
    },
    states,
    frozen: [],
  };
}

function checkSets({ sets = [], programs = {} }: RecipeDefinition, request: GraphRequest): void {
  const setError = (set: string, message: string, remedy: string): LapidaryError =>
    new LapidaryError({ code: "LAP_RECIPE_OPTION", message, location: `sets.${set}`, remedy });
  for (const set of sets)
    if (!Object.hasOwn(request.sets, set))
      throw setError(set, `the recipe needs the parameter set ${set}`, `name a run or the directory of a checkpoint in sets.${set}`);
  for (const set of Object.keys(request.sets))
    if (!sets.includes(set))
      throw setError(
        set,
        `the recipe has no parameter set "${set}"`,
        sets.length === 0 ? "remove sets" : `its sets are ${sets.join(", ")}`,
      );
  for (const name of Object.keys(programs))
    if (reserved.includes(name) || !/^[a-z][a-z0-9_]*$/.test(name))
      throw badRecipeModule(request.path, `the recipe cannot have a program "${name}"`, `use a-z 0-9 _, and not ${reserved.join(", ")}`);
}

function stepGraph(definition: RecipeDefinition, request: GraphRequest, options: GraphInputs["options"], model: Model): Graph {
  const { update } = request;
  const g = new GraphBuilder(stepProgram);
  const { params, states, weights } = trainedModel(g, model, update);
  const inputs = new Inputs(g, request, options, model, weights);
  inputs.declareRows();
  const { losses, metrics = {} } = byUser(request, "loss", () => {
    const given = definition.loss(g, inputs);
    return "losses" in given ? given : ({ losses: given } satisfies TokenLosses);
  });
  checkLosses("loss", losses, request);
  const { loss, count } = meanLoss(g, losses, inputs.mask);
  const means = Object.entries(metrics).map(([name, values]) => {
    if (([...trainMetrics] as string[]).includes(name))
      throw badRecipeModule(request.path, `a metric of the recipe cannot have the name "${name}"`, "use another name");
    checkLosses(`the metric ${name}`, values, request);
    return [name, meanLoss(g, g.stopGradient(values), inputs.mask).loss] as const;
  });
  applyUpdate(g, update, { params, states, loss, metrics: new Map([["tokens_counted", count], ...means]), withGradients: false });
  return g.finish();
}

function evalGraph(definition: RecipeDefinition, request: GraphRequest, g: GraphBuilder, inputs: Inputs): void {
  const { heldoutLoss } = definition;
  void inputs.weights;
  inputs.declareRows();
  const losses =
    heldoutLoss === undefined
      ? tokenLosses(g, inputs.logits, inputs.targets)
      : byUser(request, "heldoutLoss", () => heldoutLoss(g, inputs));
  checkLosses("heldoutLoss", losses, request);
  const { sum, count } = countedLoss(g, losses, inputs.mask);
  g.output("loss_sum", g.named("loss_sum", sum, [], "metric"));
  g.output("tokens_counted", g.named("tokens_counted", count, [], "metric"));
}

function userGraph(
  name: string,
  build: NonNullable<RecipeDefinition["programs"]>[string],
  request: GraphRequest,
  g: GraphBuilder,
  inputs: Inputs,
): void {
  const outputs = Object.entries(byUser(request, `programs.${name}`, () => build(g, inputs)));
  if (outputs.length === 0) throw badRecipeModule(request.path, `the program ${name} returns no output`, "return values by name");
  for (const [output, value] of outputs)
    g.output(output, value.type.dims.length === 0 ? g.named(output, value, [], "metric") : g.named(output, value));
}

/** Calls code of the recipe. @throws LAP_RECIPE_FAILED at the line that threw */
function byUser<T>({ path }: GraphRequest, what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw error instanceof LapidaryError && error.code === "LAP_RECIPE_MODULE" ? error : recipeFailed(path, what, error);
  }
}

function checkLosses(what: string, value: Value | undefined, { path, batch, seq }: GraphRequest): void {
  const type = value?.type;
  if (type?.dtype === "f32" && type.dims.length === 2 && type.dims[0] === batch && type.dims[1] === seq) return;
  const found = type === undefined ? "no value" : `${type.dtype}[${type.dims.join(",")}]`;
  throw badRecipeModule(
    path,
    `${what} returned ${found}, expected f32[${batch},${seq}]: one number for each target`,
    "return the losses of all targets; Lapidary takes their mean",
  );
}

/** The inputs of one program. A parameter is declared at its first use, so that a program has only the inputs that it reads. */
class Inputs implements GraphInputs {
  readonly #g: GraphBuilder;
  readonly #request: GraphRequest;
  readonly #sets = new Map<string, ParameterSetInputs>();
  readonly #arrays = new Map<string, Value>();
  #weights: ReadonlyMap<string, Value> | undefined;
  #rows: ReturnType<typeof tokenInputs> | undefined;
  #attention: HiddenOptions | undefined;
  #targets: Pick<GraphInputs, "targets" | "mask"> | undefined;
  #logits: Value | undefined;

  constructor(
    g: GraphBuilder,
    request: GraphRequest,
    readonly options: GraphInputs["options"],
    readonly model: Model,
    weights?: ReadonlyMap<string, Value>,
  ) {
    this.#g = g;
    this.#request = request;
    this.#weights = weights;
  }

  /** Declares the arrays of a batch, which the step program and the evaluation always have, in the order of the programs of supervised fine-tuning. */
  declareRows(): void {
    void this.tokens;
    void this.targets;
  }

  get batch(): number {
    return this.#request.batch;
  }

  get seq(): number {
    return this.#request.seq;
  }

  get #inputs(): ReturnType<typeof tokenInputs> {
    return (this.#rows ??= tokenInputs(this.#g, this.#request));
  }

  get #options(): HiddenOptions {
    return (this.#attention ??= attentionOptions(this.#g, this.#inputs.segments));
  }

  get tokens(): Value {
    return this.#inputs.tokens;
  }

  get targets(): Value {
    return (this.#targets ??= targetInputs(this.#g, this.#request)).targets;
  }

  get mask(): Value {
    return (this.#targets ??= targetInputs(this.#g, this.#request)).mask;
  }

  get weights(): ReadonlyMap<string, Value> {
    return (this.#weights ??= weightParameters(this.#g, this.model));
  }

  get logits(): Value {
    return (this.#logits ??= logitsOf(this.model, this.#g, this.weights, this.tokens, this.#options));
  }

  // Fields and not methods, because a recipe takes its inputs apart.
  readonly set = (name: string): ParameterSetInputs => {
    const known = this.#sets.get(name) ?? this.#makeSet(name);
    this.#sets.set(name, known);
    return known;
  };

  #makeSet(name: string): ParameterSetInputs {
    const g = this.#g;
    const model = buildModel(ensure(this.#request.sets[name], `the parameter set ${name}: the recipe does not declare it in \`sets\``));
    const weights = new Map(
      model.params.map((spec) => [spec.name, stateParameter(g, { ...spec, name: `${name}/${paramName(spec.name)}`, role: "param" })]),
    );
    const { tokens } = this;
    const logits = g.stopGradient(g.scope(name, () => logitsOf(model, g, weights, tokens, this.#options)));
    return { model, tokens, weights, logits };
  }

  readonly array: GraphInputs["array"] = (name, dtype, dims, logicalAxes) => {
    const known = this.#arrays.get(name) ?? this.#g.parameter(`arrays/${name}`, tensorType(dtype, dims), logicalAxes, "batch");
    this.#arrays.set(name, known);
    return known;
  };
}
