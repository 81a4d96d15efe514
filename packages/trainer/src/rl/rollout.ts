import type { Graph } from "@lapidary/ir";
import { type Model, cacheArrays } from "@lapidary/models";
import { type Handle, handleOf, type RunReport, type StepIndex } from "@lapidary/protocol";
import { assert, type Clock, ensure, systemClock } from "@lapidary/std";
import {
  type DrawSettings,
  type RolloutShape,
  cacheShapeOf,
  drawKeys,
  gatheredName,
  gatherRollout,
  rolloutDecode,
  rolloutPrefill,
} from "@lapidary/training";
import { LoadedProgram, type ParameterSet, type ProgramHost, programName, weightHandle, weightInputs } from "./program-host.js";
import { type DrawnCompletions, promptRows, type RolloutPrompt } from "./rollout-rows.js";

/** Tokens that one message decodes, and the messages in flight. The workers then need not wait for the reply to a message. */
const [tokensAtOnce, messagesAhead] = [4, 2];

const handle = (name: string): Handle => handleOf(`rollout/${name}`);
const state = ["token", "position", "done", "completions", "logps"] as const;

export interface RolloutOptions {
  readonly model: Model;
  readonly shape: RolloutShape;
  readonly draw: DrawSettings;
  /** The weights of the model that draws. */
  readonly set?: ParameterSet;
  readonly clock?: Clock;
}

export interface DrawRequest {
  /** One for each group of completions. */
  readonly prompts: readonly RolloutPrompt[];
  readonly seed: number;
  /** The number of the rollout: another number draws other completions. */
  readonly rollout: number;
  readonly step: StepIndex;
}

export interface DrawnRollout extends DrawnCompletions {
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/**
 * Draws completions of prompts on the workers. They stay there until all have ended. The reply to a token has only the number of completions that
 * continue.
 */
export class Rollout {
  private constructor(
    private readonly host: ProgramHost,
    private readonly options: RolloutOptions,
    private readonly prefill: LoadedProgram,
    private readonly decode: LoadedProgram,
    /** Gathers the weights before a rollout. Absent: every run of the other programs gathers them. */
    private readonly gather: LoadedProgram | undefined,
    /** Arrays of a rollout on the workers, which it drops at its end. */
    private readonly arrays: readonly Handle[],
  ) {}

  static async load(host: ProgramHost, options: RolloutOptions): Promise<Rollout> {
    const { model, shape, draw, set = "policy" } = options;
    const cache = cacheArrays(model, cacheShapeOf(shape)).map(({ name: array }) => array);
    const own = [...cache, ...state].map((array) => [array, handle(array)] as const);
    const isGathered = draw.weights === "gathered";
    const inputs = new Map([
      ...weightInputs(model.params, isGathered ? gatheredSet(set) : set),
      ...own,
      ...["tokens", "prompt_first", "first", "keys"].map((array) => [array, handle(array)] as const),
    ]);
    const binding = { inputs, outputs: new Map(own), scalars: ["running"] };
    const prefill = (): Graph => rolloutPrefill(model, shape, draw);
    const decode = (): Graph => rolloutDecode(model, shape, draw);
    return new Rollout(
      host,
      options,
      await LoadedProgram.load(host, programName("rollout_prefill", shape, draw), prefill, {
        ...binding,
        donate: ["tokens", "prompt_first"],
      }),
      await LoadedProgram.load(host, programName("rollout_decode", shape, draw), decode, {
        ...binding,
        donate: own.map(([array]) => array),
      }),
      isGathered ? await loadGather(host, model, set) : undefined,
      [...own.map(([, id]) => id), handle("first"), handle("keys"), ...(isGathered ? gatheredOutputs(model, set).map(([, id]) => id) : [])],
    );
  }

  /** A function of the weights, the prompts, `seed` and `rollout`. */
  async draw({ prompts, seed, rollout, step }: DrawRequest): Promise<DrawnRollout> {
    const { shape, clock = systemClock } = this.options;
    const { batch, generations, prompt, newTokens } = shape;
    assert(prompts.length * generations === batch, "a rollout has a prompt for each group", prompts.length, generations, batch);
    const { group } = this.host;
    const { tokens, first } = promptRows(prompts, prompt);
    const keys = drawKeys(seed, rollout, newTokens);
    const begin = clock.monotonic();
    const puts = [
      this.prefill.put("tokens", { dtype: "i32", dims: [prompts.length, prompt], data: tokens }),
      this.prefill.put("prompt_first", { dtype: "i32", dims: [prompts.length], data: first }),
      this.decode.put("first", {
        dtype: "i32",
        dims: [batch],
        data: Int32Array.from({ length: batch }, (_, row) => ensure(first[Math.floor(row / generations)], "first")),
      }),
      this.prefill.put("keys", { dtype: "i32", dims: [newTokens], data: keys }),
    ];
    if (this.gather !== undefined) puts.push(this.gather.run(step).then(() => undefined));
    const prefilled = this.prefill.run(step);
    let prefillEnd = begin;
    const timed = prefilled.then(() => (prefillEnd = clock.monotonic()));
    await Promise.all([...puts, timed, this.#decodeAll(prefilled, step)]);
    const fetched = [group.fetch(handle("completions")), group.fetch(handle("logps"))] as const;
    const [completions, logps] = await Promise.all([...fetched, group.drop(this.arrays)]);
    assert(completions.data instanceof Int32Array && logps.data instanceof Float32Array, "the types of a rollout");
    const end = clock.monotonic();
    return { completions: completions.data, logps: logps.data, prefillMs: prefillEnd - begin, decodeMs: end - prefillEnd };
  }

  /** A decode run after the end of all completions adds only padding, so the number of such runs changes nothing. */
  async #decodeAll(prefilled: Promise<RunReport>, step: StepIndex): Promise<void> {
    const inFlight = [prefilled];
    let dispatched = 1;
    let allEnded = false;
    while (inFlight.length > 0) {
      while (!allEnded && dispatched < this.options.shape.newTokens && inFlight.length < messagesAhead) {
        const times = Math.min(tokensAtOnce, this.options.shape.newTokens - dispatched);
        const run = this.decode.repeat(step, times);
        // If an earlier run fails, no caller waits for this one.
        run.catch(() => undefined);
        inFlight.push(run);
        dispatched += times;
      }
      const { scalars } = await ensure(inFlight.shift(), "run");
      allEnded ||= scalars.get("running") === 0;
    }
  }
}

/** The set of the gathered weights of a set. */
export const gatheredSet = (set: ParameterSet): ParameterSet => `rollout/${set}`;

/** The arrays of the outputs of `gather_rollout`. */
export const gatheredOutputs = ({ params }: Pick<Model, "params">, set: ParameterSet): (readonly [string, Handle])[] =>
  params.map(({ name }) => [gatheredName(name), weightHandle(gatheredSet(set), name)]);

function loadGather(host: ProgramHost, model: Model, set: ParameterSet): Promise<LoadedProgram> {
  const outputs = new Map(gatheredOutputs(model, set));
  const inputs = new Map(weightInputs(model.params, set));
  return LoadedProgram.load(host, programName("gather_rollout", set), () => gatherRollout(model), { inputs, outputs, donate: [] });
}
