import type { PreferenceBatch } from "@lapidary/data";
import { type LoraConfig, type Model } from "@lapidary/models";
import { adaptedModel, logProbs } from "@lapidary/post-training";
import { type ArrayData, type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import { assert } from "@lapidary/std";
import { paramName } from "@lapidary/training";
import { LoadedProgram, type ParameterSet, type ProgramHost, programName, weightInputs } from "../rl/program-host.js";
import { pairArray } from "./pair-batches.js";

const rowArrays = ["tokens", "targets", "mask"] as const;

export interface RowShape {
  readonly batch: number;
  readonly seq: number;
}

/** The program of log-probabilities, and the weights that it reads. */
export interface LogProbsOf {
  /** The name of the program in the recipe. */
  readonly program: string;
  readonly model: Model;
  readonly lora?: LoraConfig | undefined;
  readonly set: ParameterSet;
}

/** Log-probabilities of answers under one parameter set. */
export class RowLogProbs {
  private constructor(
    private readonly host: ProgramHost,
    private readonly program: LoadedProgram,
    private readonly model: Model,
    private readonly shape: RowShape,
  ) {}

  static async load(host: ProgramHost, { program: name, model, lora, set }: LogProbsOf, shape: RowShape): Promise<RowLogProbs> {
    const weights = adaptedModel(model, lora);
    const inputs = new Map([...weightInputs(weights.params, set), ...rowArrays.map((array) => [array, handle(array)] as const)]);
    const graph = (): ReturnType<typeof logProbs> => logProbs(model, { ...shape, segments: false }, { temperature: 1, lora });
    const wiring = { inputs, outputs: new Map([["logps", handle("logps")]]), donate: [...rowArrays] };
    return new RowLogProbs(host, await LoadedProgram.load(host, programName(name, shape), graph, wiring), weights, shape);
  }

  get programHash(): string {
    return this.program.hash;
  }

  /** Gives the set a weight. */
  putWeight(name: string, array: ArrayData): Promise<void> {
    return this.program.put(paramName(name), array);
  }

  /** Frees the weights of the set. */
  async dropWeights(): Promise<void> {
    await this.host.group.drop(this.model.params.map(({ name }) => this.program.handle(paramName(name))));
  }

  /** Sums over the answers of all rows. */
  async of(pairs: PreferenceBatch): Promise<number[]> {
    const { group } = this.host;
    const puts = rowArrays.map((name) => this.program.put(name, pairArray(pairs, name)));
    const ran = this.program.run(stepIndex(0));
    const fetched = group.fetch(handle("logps"));
    await Promise.all([...puts, ran, fetched, group.drop([handle("logps")])]);
    const { data } = await fetched;
    assert(data instanceof Float32Array, "log-probabilities are f32");
    const { batch, seq } = this.shape;
    return Array.from({ length: batch }, (_, row) => data.subarray(row * seq, (row + 1) * seq).reduce((sum, value) => sum + value, 0));
  }
}

const handle = (name: string): Handle => handleOf(`dpo/${name}`);
