import type { GraphBuilder, Value } from "@lapidary/ir";
import type { TextSharding } from "./sharding.js";

/** Shardings that the text states for values of the graph. The compiler finds them by name, so each has a name of its own. */
export class Constraints {
  readonly #byId = new Map<number, TextSharding>();
  readonly #names = new Map<string, TextSharding>();

  constructor(readonly b: GraphBuilder) {}

  /** A value with the sharding: the value itself, or a copy if it is an argument or already has another sharding. */
  constrain(value: Value, sharding: TextSharding): Value {
    const known = this.#byId.get(value.id);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(sharding)) return value;
    const isOwn = known === undefined && value.op !== "parameter" && value.op !== "constant";
    const target = isOwn ? value : this.b.op("stop_gradient", [value], {}, { name: `${value.name}.constrained` });
    const named = this.b.renamed(target, `${target.name}.${target.id}`);
    this.#byId.set(named.id, sharding);
    this.#names.set(named.name, sharding);
    return named;
  }

  /** A value with a name of its own and without a stated sharding: a copy, so that a sharding can be given to it alone. */
  own(value: Value): Value {
    const copy = this.b.op("stop_gradient", [value], {}, { name: `${value.name}.next` });
    return this.b.renamed(copy, `${copy.name}.${copy.id}`);
  }

  /** States the sharding of an argument. */
  set(name: string, sharding: TextSharding): void {
    this.#names.set(name, sharding);
  }

  byName(): ReadonlyMap<string, TextSharding> {
    return this.#names;
  }
}
