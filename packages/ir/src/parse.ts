import { LapidaryError, assert } from "@lapidary/std";
import { type Mesh, parseMesh } from "@lapidary/topology";
import type { OpAttrs, OpName } from "./attrs.js";
import { GraphBuilder } from "./builder.js";
import {
  type Graph,
  type GraphLevel,
  type IdleIterations,
  type Phase,
  type RegionScope,
  type TickPart,
  type ValueRole,
  makeScope,
  phases,
  tickParts,
} from "./graph.js";
import { ops } from "./ops/index.js";
import { parseSharding } from "./sharding.js";
import { parseType } from "./types.js";

/** Reads the text of `printGraph`. Errors name the line. */
export function parseGraph(text: string): Graph {
  const lines = text.split("\n");
  let builder: GraphBuilder | undefined;
  let region: RegionScope | undefined;
  let regions = 0;
  lines.forEach((line, i) => {
    if (line.trim() === "") return;
    try {
      if (builder === undefined) builder = parseHeader(line);
      else if (line.startsWith("return")) parseReturn(builder, line);
      else if (line.startsWith("repeat")) {
        assert(region === undefined, "regions are not nested");
        region = { id: regions++, ...parseRepeat(line) };
      } else if (line === "}") {
        assert(region !== undefined, "a brace closes a region");
        region = undefined;
      } else parseValue(builder, line.trimStart(), region);
    } catch (error) {
      if (error instanceof LapidaryError && error.code !== "LAP_IR_TEXT") throw error;
      throw new LapidaryError({
        code: "LAP_IR_TEXT",
        message: error instanceof Error ? error.message : String(error),
        location: `line ${i + 1}: ${line.slice(0, 160)}`,
        cause: error,
      });
    }
  });
  assert(builder !== undefined, "a graph's text has a header");
  return builder.finish();
}

function parseHeader(line: string): GraphBuilder {
  const match = /^graph (\S+) (global|chip|host)(?: mesh (.*))?$/.exec(line);
  assert(match !== null, "header `graph NAME LEVEL [mesh …]`", line);
  const mesh: Mesh | undefined = match[3] === undefined ? undefined : parseMesh(match[3]);
  return new GraphBuilder(match[1] ?? "", match[2] as GraphLevel, mesh);
}

function parseReturn(builder: GraphBuilder, line: string): void {
  for (const part of line
    .slice("return".length)
    .trim()
    .split(" ")
    .filter((p) => p !== "")) {
    const at = part.lastIndexOf("=%");
    assert(at > 0, "outputs are name=%id", part);
    builder.output(part.slice(0, at), builder.get(Number(part.slice(at + 2))));
  }
}

const valueLine =
  /^%(\d+) = ([a-z][a-z0-9_]*)((?: %\d+)*)((?: [a-zA-Z]+=(?:"(?:[^"\\]|\\.)*"|\[[^ ]*\]|[^ "[]+))*) : (\S+)(?: <([a-z]+)>)?(?: \(([^)]*)\))?(?: (\[[^\]]*\](?: unreduced(?:-max|-min)? \S+)?))?(?: !([a-z]+))?(?: #(\d+))?(?: ~(\d+))?(?: \^([a-z]+))? @(\S+)(?: \/\/ (.*))?$/;

function parseRepeat(line: string): Omit<RegionScope, "id"> {
  const match = /^repeat (\d+)(?: idle((?: [a-z]+=[\d,]+)+))? \{$/.exec(line);
  assert(match !== null, "a region begins with `repeat COUNT {`", line);
  return { count: Number(match[1]), ...(match[2] === undefined ? {} : { idle: parseIdle(match[2]) }) };
}

function parseIdle(text: string): IdleIterations {
  const parts = text
    .trim()
    .split(" ")
    .map((part) => part.split("="));
  return Object.fromEntries(parts.map(([part, stages = ""]) => [parseTick(part), stages.split(",").map(Number)]));
}

function parseTick(text: string | undefined): TickPart {
  const tick = tickParts.find((known) => known === text);
  assert(tick !== undefined, "a part of a tick", text);
  return tick;
}

function parseValue(builder: GraphBuilder, line: string, region: RegionScope | undefined): void {
  const match = valueLine.exec(line);
  assert(match !== null, "a value's text", line);
  const [, id, op, inputs, attrs, type, role, axes, sharding, phase, block, chunk, tick, name, cause] = match;
  assert(op !== undefined && op in ops, "a known op", op);
  assert(Number(id) === builder.values.length, "values are numbered in order", id);
  builder.push(
    op as OpName,
    (inputs ?? "")
      .trim()
      .split(" ")
      .filter((p) => p !== "")
      .map((p) => Number(p.slice(1))),
    parseAttrs(attrs ?? "") as OpAttrs[OpName],
    parseType(type ?? ""),
    {
      name,
      ...(role === undefined ? {} : { role: role as ValueRole }),
      ...(axes === undefined ? {} : { logicalAxes: axes === "" ? [] : axes.split(", ").map((axis) => (axis === "-" ? null : axis)) }),
      ...(sharding === undefined || builder.mesh === undefined ? {} : { sharding: parseSharding(builder.mesh, sharding) }),
      scope: makeScope({
        phase: parsePhase(phase),
        block: numberOf(block),
        chunk: numberOf(chunk),
        tick: tick === undefined ? undefined : parseTick(tick),
        region,
      }),
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));

function parsePhase(text: string | undefined): Phase {
  const phase = text === undefined ? "forward" : phases.find((known) => known === text);
  assert(phase !== undefined, "a known pass", text);
  return phase;
}

function parseAttrs(text: string): Record<string, unknown> {
  const attrs: Record<string, unknown> = {};
  for (const match of text.matchAll(/ ([a-zA-Z]+)=("(?:[^"\\]|\\.)*"|\[[^ ]*\]|[^ "[]+)/g)) {
    const value: unknown = JSON.parse(match[2] ?? "null");
    attrs[match[1] ?? ""] = match[1] === "value" && typeof value === "string" ? Number(value) : value;
  }
  return attrs;
}
