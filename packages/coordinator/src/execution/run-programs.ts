import type { ArrayData } from "@lapidary/interop";
import { must } from "@lapidary/std";
import { trainMetrics } from "@lapidary/training";
import type { Port, ProgramSet, ProgramText } from "../programs/build.js";
import type { RunGang } from "./run-gang.js";

/** Where batches come from, and their shape. */
export interface BatchSource {
  readonly directory: string;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
}

export type StepMetrics = Readonly<Record<(typeof trainMetrics)[number], number>>;

const isState = ({ role }: Port): boolean => role === "param" || role === "optimizer";
const isBatch = ({ role }: Port): boolean => role === "batch";
const nameOf = ({ name }: Port): string => name;

/**
 * The programs of a run over one set of values on its gang. A value is called like the parameter that it is given for: the state carries the same
 * names from step to step, as each step consumes the state it was given and leaves the next one under them.
 */
export class RunPrograms {
  readonly #gang: RunGang;
  readonly #set: ProgramSet;
  readonly #source: BatchSource;

  constructor(gang: RunGang, set: ProgramSet, source: BatchSource) {
    this.#gang = gang;
    this.#set = set;
    this.#source = source;
  }

  /** Weights, optimizer state and step. */
  get states(): readonly Port[] {
    return this.#set.programs.train_step.parameters.filter(isState);
  }

  async load(): Promise<void> {
    await Promise.all(Object.values(this.#set.programs).map((program) => this.#gang.load(program)));
  }

  /** The first state. */
  async initialize(): Promise<void> {
    const { init } = this.#set.programs;
    await this.#gang.run({ step: 0, program: init, inputs: [], outputs: init.outputs, donate: [] });
  }

  async put(name: string, array: ArrayData): Promise<void> {
    await this.#gang.put(must(this.states.find((port) => port.name === name), name), array);
  }

  fetch(name: string): Promise<ArrayData> {
    return this.#gang.fetch(name);
  }

  /** One optimizer step on batch number `step`, from 0. Returns at once. */
  async train(step: number): Promise<StepMetrics> {
    const program = this.#set.programs.train_step;
    const metric = (output: string): boolean => trainMetrics.some((name) => name === output);
    const fed = this.#feed(program, "train", step);
    const ran = this.#gang.run({ step, program, inputs: program.parameters.map(nameOf), outputs: program.outputs, donate: program.parameters.map(nameOf) });
    const values = this.#takeScalars(program.outputs.filter(metric));
    await Promise.all([fed, ran, values]);
    return (await values) as StepMetrics;
  }

  /** Losses of the first `batches` held-out batches. Returns at once. */
  async evaluate(batches: number): Promise<{ loss: number; tokens: number }> {
    const program = this.#set.programs.eval_step;
    const sums = await Promise.all(
      Array.from({ length: batches }, async (_, step) => {
        const fed = this.#feed(program, "heldout", step);
        const ran = this.#gang.run({ step, program, inputs: program.parameters.map(nameOf), outputs: program.outputs, donate: program.parameters.filter(isBatch).map(nameOf) });
        const values = this.#takeScalars(program.outputs);
        await Promise.all([fed, ran, values]);
        return values;
      }),
    );
    const total = (name: string): number => sums.reduce((sum, values) => sum + must(values[name], name), 0);
    const tokens = total("tokens_counted");
    return { loss: total("loss_sum") / tokens, tokens };
  }

  /** Logits of the token after `position` in a row of tokens. */
  async nextToken(tokens: ArrayData, position: ArrayData): Promise<ArrayData> {
    const program = this.#set.programs.next_token;
    const inputs = program.parameters.filter(isBatch);
    const given = inputs.map((port) => this.#gang.put(port, port.name === "position" ? position : tokens));
    const ran = this.#gang.run({ step: 0, program, inputs: program.parameters.map(nameOf), outputs: program.outputs, donate: inputs.map(nameOf) });
    const logits = this.#gang.fetch("logits");
    const dropped = this.#gang.drop(program.outputs);
    await Promise.all([...given, ran, logits, dropped]);
    return logits;
  }

  #feed(program: ProgramText, split: "train" | "heldout", step: number): Promise<void> {
    const into = program.parameters.filter(isBatch).map(({ name, sharding }) => ({ array: name as "tokens" | "targets" | "mask", value: name, sharding }));
    return this.#gang.feed({ ...this.#source, split, step, into });
  }

  /** Reads scalars and forgets them. */
  async #takeScalars(names: readonly string[]): Promise<Record<string, number>> {
    const arrays = names.map((name) => this.#gang.fetch(name));
    const dropped = this.#gang.drop(names);
    const values = await Promise.all(arrays);
    await dropped;
    return Object.fromEntries(names.map((name, i) => [name, must(values[i]?.data[0], name)]));
  }
}
