import { type OpName, opDef, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

export const axisOf = (value: Value): string => ("axes" in value.attrs ? value.attrs.axes.join("+") : "");

/** A multiply-add counts as two. */
export function flopsOf(value: Value, inputs: readonly Value[]): number {
  const def = opDef<OpName>(value.op);
  return def.flops(
    inputs.map(({ type }) => type),
    value.type,
    value.attrs,
  );
}

export const operandOf = (values: readonly Value[], value: Value): Value => ensure(values[ensure(value.inputs[0], "operand")], "operand");
