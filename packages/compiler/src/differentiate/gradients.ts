import { LapidaryError, assert } from "@lapidary/std";
import { type GraphBuilder, type OpName, type Value, type ValueId, isFloat, makeScope, opDef, sameDims } from "@lapidary/ir";

/** A value, and the derivative of the loss with respect to it. Both have one type. */
export interface Cotangent {
  readonly value: Value;
  readonly cotangent: Value;
}

/**
 * Reverse-mode derivatives of a scalar with respect to values of the same graph: appends the backward pass to `g`.
 *
 * Only values between `wrt` and `loss` are visited. Contributions of several uses are added in reverse order of the uses.
 * The gradient of a value `name` is named `grad(name)` and has the block of the value.
 *
 * @param loss a scalar f32 value
 * @returns one value for each of `wrt`, of its type; zero where `loss` does not depend on it
 */
export function gradients(g: GraphBuilder, loss: Value, wrt: readonly Value[]): Value[] {
  if (loss.type.dims.length !== 0 || !isFloat(loss.type.dtype))
    throw new LapidaryError({
      code: "LAP_COMPILE_LOSS",
      message: `the loss ${loss.name} is not a scalar of float type`,
      location: loss.name,
    });
  return g.inPhase("backward", () => orZero(g, wrt, vjp(g, [{ value: loss, cotangent: g.splat(1, loss.type) }], wrt)));
}

/** As `gradients`, from derivatives that are known: those of values after which the loss is already differentiated. */
export const gradientsFrom = (g: GraphBuilder, known: readonly Cotangent[], wrt: readonly Value[]): Value[] =>
  g.inPhase("backward", () => orZero(g, wrt, vjp(g, known, wrt)));

const orZero = (g: GraphBuilder, wrt: readonly Value[], found: readonly (Value | undefined)[]): Value[] =>
  wrt.map((value, i) => found[i] ?? g.splat(0, value.type));

/**
 * The vector-Jacobian product: appends the derivatives of `wrt` to `g`, in the current pass. The values of `wrt` count as independent, so
 * that their operands are not visited.
 *
 * @returns one value for each of `wrt`; undefined if no value of `known` depends on it
 */
export function vjp(g: GraphBuilder, known: readonly Cotangent[], wrt: readonly Value[]): (Value | undefined)[] {
  const last = Math.max(...known.map(({ value }) => value.id));
  const independent = new Set(wrt.map(({ id }) => id));
  const dependent = dependents(g, wrt, last);
  const contributions = new Map<ValueId, Value[]>();
  const contribute = (id: ValueId, flow: Value): void => void contributions.set(id, [...(contributions.get(id) ?? []), flow]);
  for (const { value, cotangent } of known) contribute(value.id, cotangent);
  const total = new Map<ValueId, Value>();

  for (let id = last; id >= 0; id--) {
    const parts = contributions.get(id);
    if (parts === undefined || !dependent.has(id)) continue;
    const value = g.get(id);
    const before = g.values.length;
    const grad = parts.reduce((sum, part) => g.add(sum, part));
    total.set(id, grad);
    if (value.inputs.length > 0 && !independent.has(id)) {
      const def = opDef<OpName>(value.op);
      if (def.vjp === null)
        throw new LapidaryError({
          code: "LAP_COMPILE_NO_DERIVATIVE",
          message: `${value.op} has no derivative`,
          location: value.name,
        });
      const inputs = value.inputs.map((input) => g.get(input));
      const flows = def.vjp(g, { value, inputs, grad, attrs: value.attrs as never });
      flows.forEach((flow, i) => {
        const input = inputs[i];
        if (flow === undefined || input === undefined || !dependent.has(input.id)) return;
        assert(
          sameDims(flow.type.dims, input.type.dims) && flow.type.dtype === input.type.dtype,
          "a gradient has the type of its value",
          value.op,
          flow.type,
          input.type,
        );
        contribute(input.id, flow);
      });
    }
    nameGradients(g, before, value);
  }
  return wrt.map((value) => {
    const found = total.get(value.id);
    // The value in the graph has the name and the block; `found` lacks them.
    return found === undefined ? undefined : g.get(found.id);
  });
}

/** Values that depend on one of `wrt`, up to `last`. */
function dependents(g: GraphBuilder, wrt: readonly Value[], last: ValueId): Set<ValueId> {
  const found = new Set(wrt.map((value) => value.id));
  for (let id = 0; id <= last; id++) {
    const value = g.get(id);
    if (isFloat(value.type.dtype) && value.inputs.some((input) => found.has(input))) found.add(id);
  }
  return found;
}

/** Sets name and block of the values that the derivative of one value appended. */
function nameGradients(g: GraphBuilder, from: ValueId, of: Value): void {
  for (let id = from; id < g.values.length; id++) {
    const value = g.get(id);
    if (value.op !== "constant")
      g.values[id] = {
        ...value,
        name: gradientName(of.name),
        scope: makeScope({ ...value.scope, block: of.scope.block, line: undefined }),
      } as Value;
  }
}

const gradientName = (name: string): string => `grad(${name})`;

/** For display: the name of the value that belongs to a gradient, or the value's own name if it is not a gradient. */
export function primalName({ name, scope }: Pick<Value, "name" | "scope">): string {
  const primal = name.slice(gradientName("").indexOf(")"), -1);
  return scope.phase === "backward" && gradientName(primal) === name ? primal : name;
}
