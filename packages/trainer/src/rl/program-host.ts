import type { BoundProgram, WorkerGroup } from "@lapidary/cluster";
import type { Program } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { type ArrayData, type Handle, type ProgramHash, type RunReport, handleOf, type StepIndex } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { paramName } from "@lapidary/training";

/** A worker group, and a compiler with its mesh and rules. A session is one. */
export interface ProgramHost {
  readonly group: WorkerGroup;
  /** The program of a graph, compiled at the first use of its name. */
  compile(name: string, graph: Graph): Program;
}

/** The name of a program for the settings that its graph depends on, besides the model of the run. */
export const programName = (name: string, ...settings: readonly unknown[]): string =>
  [name, ...settings.map((each) => JSON.stringify(each))].join(" ");

/** The name of the weights of one model: `policy` is trained; other sets, such as `reference`, are frozen. */
export type ParameterSet = string;

/** The array of a weight on the workers: `params/…` of the policy, `reference/params/…` of a frozen set. */
export const weightHandle = (set: ParameterSet, name: string): Handle =>
  handleOf(set === "policy" ? paramName(name) : `${set}/${paramName(name)}`);

/** What a call of a program reads and keeps, by the names of its parameters and outputs. */
export interface ProgramBinding {
  /** Arrays of the inputs that do not have the name of the parameter. */
  readonly inputs?: ReadonlyMap<string, Handle>;
  /** The outputs that stay on the workers. */
  readonly outputs: ReadonlyMap<string, Handle>;
  /** Names of the inputs that a run consumes. */
  readonly donate: readonly string[];
  readonly scalars?: readonly string[];
}

/** A loaded program with its arrays. */
export class LoadedProgram {
  readonly #group: WorkerGroup;
  readonly #hash: ProgramHash;
  readonly #bound: BoundProgram;
  readonly #inputs: ReadonlyMap<string, Handle>;

  private constructor(group: WorkerGroup, hash: ProgramHash, binding: ProgramBinding) {
    this.#group = group;
    this.#hash = hash;
    const { inputs = new Map<string, Handle>(), outputs, donate, scalars = [] } = binding;
    this.#inputs = new Map(group.parameters(hash).map(({ id }) => [id, inputs.get(id) ?? id]));
    const donated = donate.map((name) => this.handle(name));
    this.#bound = group.bind(hash, { inputs: this.#inputs, outputs, donate: donated, scalars });
  }

  static async load(host: ProgramHost, name: string, graph: Graph, binding: ProgramBinding): Promise<LoadedProgram> {
    return new LoadedProgram(host.group, await host.group.load(host.compile(name, graph)), binding);
  }

  /** The array of an input. */
  handle(name: string): Handle {
    return ensure(this.#inputs.get(name), `input ${name}`);
  }

  /** Gives an input its array. */
  put(name: string, array: ArrayData): Promise<void> {
    return this.#group.put({ ...this.#group.parameter(this.#hash, name), id: this.handle(name) }, array);
  }

  run(step: StepIndex, update = false): Promise<RunReport> {
    return this.#group.run(this.#bound, { step, update });
  }
}
