import { printMesh } from "@lapidary/topology";
import { type Graph, type RegionScope, type Value, makeScope, tickParts } from "./graph.js";
import { regionsOf } from "./region.js";
import { printSharding } from "./sharding.js";
import { printType } from "./types.js";

/**
 * The text form of a graph at any level:
 *
 *     graph step chip mesh data=2 model=4
 *     %0 = parameter name="x" : f32[4,16] <batch> (batch, embed) [data, -] @x
 *     %2 = all_reduce %1 axes=["model"] size=4 kind="sum" : f32[4,32] [data, -] @mlp.down // why
 *     return loss=%2
 *
 *     %7 = multiply %5 %6 : f32[4,32] [data, -] !backward #3 @grad(layers.3.mlp.up)
 *
 * A role is in `<>`, a name follows `@`, and a cause follows `//`. The scope has four parts. The pass follows `!` and is
 * omitted if it is `forward`. The block follows `#` and is omitted if there is none, and so are the chunk, which follows `~`, and the
 * part of a tick, which follows `^`. A region is in braces, with its iterations. `idle forward=0,1` follows them if the second of two
 * stages has no microbatch in the forward part of one iteration:
 *
 *     repeat 4 {
 *       %4 = carry %1 : f32[4,16] @sum
 *       %8 = add %4 %7 : f32[4,16] @add
 *       %9 = yield %4 %8 : f32[4,16] @sum
 *     }
 *
 * `parseGraph(printGraph(g))` equals g if the regions of g are numbered in order.
 */
export function printGraph(graph: Graph): string {
  return printWith(graph, printValue);
}

/**
 * The text without blocks, from which the digest of a program is computed. Blocks decide when collectives start and which
 * values are in memory. They do not decide what a chip computes, so that programs that differ only in blocks share a digest.
 */
export function textForDigest(graph: Graph): string {
  return printWith(graph, (of, value) =>
    printValue(of, { ...value, scope: makeScope({ ...value.scope, block: undefined, line: undefined }) }),
  );
}

function printWith(graph: Graph, print: (graph: Graph, value: Value) => string): string {
  const header = `graph ${graph.name} ${graph.level}${graph.mesh === undefined ? "" : ` mesh ${printMesh(graph.mesh, " ")}`}`;
  const outputs = graph.outputs.map(({ name, value }) => `${name}=%${value}`).join(" ");
  const opens = new Map(regionsOf(graph).map((region) => [region.first, region]));
  const closes = new Set(regionsOf(graph).map(({ last }) => last));
  const lines = graph.values.map((value) => {
    const opened = opens.get(value.id);
    const text = `${value.scope.region === undefined ? "" : "  "}${print(graph, value)}`;
    return `${opened === undefined ? "" : `repeat ${opened.count}${printIdle(opened)} {\n`}${text}${closes.has(value.id) ? "\n}" : ""}`;
  });
  return [header, ...lines, `return ${outputs}`].join("\n");
}

const printIdle = ({ idle = {} }: RegionScope): string => {
  const parts = tickParts.flatMap((part) => (idle[part] === undefined ? [] : [` ${part}=${idle[part].join(",")}`]));
  return parts.length === 0 ? "" : ` idle${parts.join("")}`;
};

export function printValue(graph: Graph, value: Value): string {
  const attrs = Object.entries(value.attrs).map(([key, attr]) => ` ${key}=${printAttr(attr)}`);
  const inputs = value.inputs.map((id) => ` %${id}`);
  const role = value.role === undefined ? "" : ` <${value.role}>`;
  const axes = value.logicalAxes === undefined ? "" : ` (${value.logicalAxes.map((axis) => axis ?? "-").join(", ")})`;
  const sharding = value.sharding === undefined || graph.mesh === undefined ? "" : ` ${printSharding(graph.mesh, value.sharding)}`;
  const phase = value.scope.phase === "forward" ? "" : ` !${value.scope.phase}`;
  const block = value.scope.block === undefined ? "" : ` #${value.scope.block}`;
  const chunk = value.scope.chunk === undefined ? "" : ` ~${value.scope.chunk}`;
  const tick = value.scope.tick === undefined ? "" : ` ^${value.scope.tick}`;
  const cause = value.cause === undefined ? "" : ` // ${value.cause}`;
  return `%${value.id} = ${value.op}${inputs.join("")}${attrs.join("")} : ${printType(value.type)}${role}${axes}${sharding}${phase}${block}${chunk}${tick} @${value.name}${cause}`;
}

/** JSON without blanks, with the numbers that JSON lacks. */
function printAttr(attr: unknown): string {
  if (typeof attr === "number" && !Number.isFinite(attr)) return JSON.stringify(String(attr));
  return JSON.stringify(attr);
}
