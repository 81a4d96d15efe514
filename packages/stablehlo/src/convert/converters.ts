import { stringOf } from "./attribute-values.js";
import { contractionConverters } from "./contraction.js";
import { denseItem } from "./dense.js";
import { elementwiseConverters } from "./elementwise.js";
import { indexingConverters } from "./indexing.js";
import { type Converter, Unconvertible } from "./lowering.js";
import { shapeConverters } from "./shape.js";
import { decides, shardingOf } from "./sharding.js";
import { scatterConverters } from "./scatter.js";
import { sortConverters } from "./sort.js";
import { windowConverters } from "./window.js";

const constant: Converter = (c) => {
  const item = denseItem(c.result(), c.op.attributes.get("value"));
  if (typeof item === "string") throw new Unconvertible(item);
  return [item];
};

/** A barrier only prevents that equal values are merged. Recomputed values have their own pass, and passes are not merged. */
const barrier: Converter = (c) => c.args;

const constraint: Converter = (c) => {
  const sharding = shardingOf(c.op.attributes.get("sharding"));
  if (sharding === undefined) throw new Unconvertible("its sharding is not readable");
  if (!decides(sharding)) return [c.arg(0)];
  return c.results(c.low.constrain(c.arg(0), sharding));
};

/** `custom_call @Sharding` of JAX before 0.8. In a region, its values have no sharding of their own. */
const deviceConstraint: Converter = (c) => {
  const sharding = c.low.devices.of(c.op.attributes, c.arg(0).dims.length);
  if (sharding === undefined || c.low.devices.isManual(c.op.attributes)) return c.args;
  const [item] = c.results(decides(sharding) ? c.low.constrain(c.arg(0), sharding) : c.arg(0));
  if (item === undefined) return [];
  const own = { ...item };
  c.low.stated.set(own, sharding);
  return [own];
};

/** Calls of XLA that only state something about a value. */
const customCall: Converter = (c) => {
  const target = stringOf(c.op.attributes.get("call_target_name")) ?? "";
  if (target === "annotate_device_placement" || target === "xla.sdy.FuncResultSharding") return c.args;
  if (target === "Sharding") return deviceConstraint(c);
  throw new Unconvertible(`a call of @${target} is not supported`);
};

const others: Readonly<Record<string, Converter>> = {
  "stablehlo.constant": constant,
  "stablehlo.optimization_barrier": barrier,
  "stablehlo.custom_call": customCall,
  "sdy.sharding_constraint": constraint,
  "sdy.reshard": constraint,
};

/** Elementwise and other operations that `chlo` has in addition to StableHLO. */
const chlo: ReadonlySet<string> = new Set([
  ...["square", "top_k", "erf", "erfc", "erf_inv", "tan", "sinh", "cosh", "atan", "asin", "acos", "asinh", "acosh", "atanh"],
  ...["lgamma", "digamma", "next_after", "is_inf"],
]);

const byName: Readonly<Record<string, Converter>> = {
  ...elementwiseConverters,
  ...shapeConverters,
  ...contractionConverters,
  ...indexingConverters,
  ...windowConverters,
  ...sortConverters,
  ...scatterConverters,
};

/** The converter of an operation; undefined if the operation is not supported. */
export function converterOf(name: string): Converter | undefined {
  if (Object.hasOwn(others, name)) return others[name];
  const [dialect, op = ""] = name.split(".");
  const isKnown = dialect === "stablehlo" ? !(op === "square" || op === "top_k") : dialect === "chlo" && chlo.has(op);
  return isKnown && Object.hasOwn(byName, op) ? byName[op] : undefined;
}
