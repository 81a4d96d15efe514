import { assert, must } from "@lapidary/std";
import type { BoundProgram } from "../gang/index.js";
import type { RunGang } from "./run-gang.js";

/** The program `next_token` over weights that the gang holds under the names of its parameters. */
export class NextToken {
  readonly #gang: RunGang;
  readonly #program: string;
  readonly #bound: BoundProgram;
  /** Tokens that the model sees at once. */
  readonly context: number;

  /** @param program hash of the loaded program */
  constructor(gang: RunGang, program: string) {
    this.#gang = gang;
    this.#program = program;
    const inputs = new Map(gang.parameters(program).map(({ name }) => [name, name]));
    this.#bound = gang.bind(program, {
      inputs: inputs.set("tokens", "next/tokens").set("position", "next/position"),
      outputs: new Map([["logits", "next/logits"]]),
      donate: ["next/tokens", "next/position"],
    });
    this.context = must(this.#port("tokens").type.dims[1], "length of a row");
  }

  /** Logits [V] of the token after the last of `tokens`, at most `context` of them. */
  async logits(tokens: readonly number[]): Promise<Float32Array> {
    // What follows the last token is not seen, so that any id fills it.
    const row = new Int32Array(this.context);
    row.set(tokens);
    const puts = [
      this.#gang.put("next/tokens", { dtype: "i32", dims: [1, row.length], data: row }, this.#port("tokens").sharding),
      this.#gang.put("next/position", { dtype: "i32", dims: [1], data: Int32Array.of(tokens.length - 1) }, this.#port("position").sharding),
    ];
    const ran = this.#gang.run(this.#bound, { step: 0 });
    const logits = this.#gang.fetch("next/logits");
    const dropped = this.#gang.drop(["next/logits"]);
    await Promise.all([...puts, ran, logits, dropped]);
    const { data } = await logits;
    assert(data instanceof Float32Array, "logits are f32");
    return data;
  }

  #port(name: string): ReturnType<RunGang["parameters"]>[number] {
    return must(
      this.#gang.parameters(this.#program).find((port) => port.name === name),
      `parameter ${name}`,
    );
  }
}
