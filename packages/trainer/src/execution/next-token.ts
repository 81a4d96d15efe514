import { type Handle, type ProgramHash, type TensorSpec, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import type { BoundProgram } from "@lapidary/cluster";
import type { RunWorkerGroup } from "./run-worker-group.js";

/** Arrays that one call creates. */
const ids = { tokens: handleOf("next/tokens"), position: handleOf("next/position"), logits: handleOf("next/logits") } as const;

/** The program `next_token`, with the weights that the worker group has under the names of its parameters. */
export class NextToken {
  readonly #group: RunWorkerGroup;
  readonly #program: ProgramHash;
  readonly #bound: BoundProgram;
  /** Number of tokens that the model reads in one call. */
  readonly context: number;

  /** @param program hash of the loaded program */
  constructor(group: RunWorkerGroup, program: ProgramHash) {
    this.#group = group;
    this.#program = program;
    const inputs = new Map<string, Handle>(group.parameters(program).map(({ id }) => [id, id]));
    this.#bound = group.bind(program, {
      inputs: inputs.set("tokens", ids.tokens).set("position", ids.position),
      outputs: new Map([["logits", ids.logits]]),
      donate: [ids.tokens, ids.position],
    });
    this.context = ensure(this.#parameter("tokens").dims[1], "length of a row");
  }

  /** Logits [V] of the token after the last of `tokens`, at most `context` of them. */
  async logits(tokens: readonly number[]): Promise<Float32Array> {
    // The program ignores positions after the last token, so any id can fill them.
    const row = new Int32Array(this.context);
    row.set(tokens);
    const puts = [
      this.#group.put({ ...this.#parameter("tokens"), id: ids.tokens }, { dtype: "i32", dims: [1, row.length], data: row }),
      this.#group.put(
        { ...this.#parameter("position"), id: ids.position },
        { dtype: "i32", dims: [1], data: Int32Array.of(tokens.length - 1) },
      ),
    ];
    const ran = this.#group.run(this.#bound, { step: stepIndex(0) });
    const logits = this.#group.fetch(ids.logits);
    const dropped = this.#group.drop([ids.logits]);
    await Promise.all([...puts, ran, logits, dropped]);
    const { data } = await logits;
    assert(data instanceof Float32Array, "logits are f32");
    return data;
  }

  #parameter(name: string): TensorSpec {
    return ensure(
      this.#group.parameters(this.#program).find(({ id }) => id === name),
      `parameter ${name}`,
    );
  }
}
