import type { BoundProgram, WorkerGroup } from "@lapidary/cluster";
import type { Graph } from "@lapidary/ir";
import { type ArrayData, type Handle, type ProgramHash, type RunReport, handleOf, type StepIndex } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { paramName } from "@lapidary/training";

/** A graph, or a function that traces it. A host that has the compiled program does not trace it. */
type GraphSource = Graph | (() => Graph);

type HostGroup = Pick<WorkerGroup, "parameters" | "bind" | "put" | "run" | "fetch" | "drop">;

/** A worker group, and the programs for its mesh and rules. A session is one. */
export interface ProgramHost {
  readonly group: HostGroup;
  /** Loads the program of a graph into the workers. The word before the first space of `name` is the name of the program in its recipe. */
  load(name: string, graph: GraphSource): Promise<ProgramHash>;
  /** Receives the reports of updates. */
  readonly onUpdate?: (report: RunReport) => void;
}

/** A host whose parameters a caller asks for by name. */
export interface TokenHost extends ProgramHost {
  readonly group: HostGroup & Pick<WorkerGroup, "parameter">;
}

/** The name of a program for the settings that its graph depends on, besides the model of the run. */
export const programName = (name: string, ...settings: readonly unknown[]): string =>
  [name, ...settings.filter((each) => each !== undefined).map((each) => JSON.stringify(each))].join(" ");

/** The name of the weights of one model: `policy` is trained; other sets, such as `reference`, are frozen. */
export type ParameterSet = string;

/** The array of a weight on the workers: `params/…` of the policy, `reference/params/…` of a frozen set. */
export const weightHandle = (set: ParameterSet, name: string): Handle =>
  handleOf(set === "policy" ? paramName(name) : `${set}/${paramName(name)}`);

/** The arrays of a set as inputs of a program that has the weights of one model. */
export const weightInputs = (params: readonly { readonly name: string }[], set: ParameterSet): (readonly [string, Handle])[] =>
  params.map(({ name }) => [paramName(name), weightHandle(set, name)]);

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
  readonly #host: ProgramHost;
  readonly #hash: ProgramHash;
  readonly #bound: BoundProgram;
  readonly #inputs: ReadonlyMap<string, Handle>;

  private constructor(host: ProgramHost, hash: ProgramHash, binding: ProgramBinding) {
    const { group } = host;
    this.#host = host;
    this.#hash = hash;
    const { inputs = new Map<string, Handle>(), outputs, donate, scalars = [] } = binding;
    this.#inputs = new Map(group.parameters(hash).map(({ id }) => [id, inputs.get(id) ?? id]));
    const donated = donate.map((name) => this.handle(name));
    this.#bound = group.bind(hash, { inputs: this.#inputs, outputs, donate: donated, scalars });
  }

  static async load(host: ProgramHost, name: string, graph: GraphSource, binding: ProgramBinding): Promise<LoadedProgram> {
    return new LoadedProgram(host, await host.load(name, graph), binding);
  }

  /** Identifies the program. */
  get hash(): ProgramHash {
    return this.#hash;
  }

  /** The array of an input. */
  handle(name: string): Handle {
    return ensure(this.#inputs.get(name), `input ${name}`);
  }

  /** Gives an input its array. */
  put(name: string, array: ArrayData): Promise<void> {
    const { group } = this.#host;
    const tensor = group.parameters(this.#hash).find(({ id }) => id === name);
    return group.put({ ...ensure(tensor, `parameter ${name}`), id: this.handle(name) }, array);
  }

  /** Runs the program several times with one message. Each run consumes what the run before it has created. */
  repeat(step: StepIndex, times: number): Promise<RunReport> {
    return this.#host.group.run(this.#bound, { step, times });
  }

  /**
   * @param update whether the run is an update of the states, which the files of the run record
   * @param trace whether the workers report every call
   */
  async run(step: StepIndex, update = false, trace = false): Promise<RunReport> {
    const report = await this.#host.group.run(this.#bound, { step, update, trace });
    if (update) this.#host.onUpdate?.(report);
    return report;
  }
}
