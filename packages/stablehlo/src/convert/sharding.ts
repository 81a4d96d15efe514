import type { Attribute, Operation } from "../text/syntax.js";

/** A mesh of the text: names and sizes of its axes, major to minor. */
export interface MeshAxis {
  readonly name: string;
  readonly size: number;
}

/** The sharding of one dim: axes (or sub-axes as `x:(2)4`), major to minor. An open dim may be split further. */
interface DimSharding {
  readonly axes: readonly string[];
  readonly open: boolean;
}

/** A sharding as the text states it. `unsupported` says what the project cannot express. */
export interface TextSharding {
  readonly mesh: string;
  readonly dims: readonly DimSharding[];
  readonly unsupported?: string;
}

/** The axes of `sdy.mesh @m = <["data"=4, "model"=2]>`, and whether its devices are in another order than the axes. */
export function meshOf(op: Operation): { axes: MeshAxis[]; reordered: boolean } {
  const attribute = op.attributes.get("mesh");
  const body = attribute?.kind === "dialect" ? attribute.body : "";
  const axes = [...body.matchAll(/"([^"]*)"\s*=\s*(\d+)/g)].map(([, name = "", size = "1"]) => ({ name, size: Number(size) }));
  const ids = /device_ids\s*=\s*\[([^\]]*)\]/.exec(body)?.[1];
  const reordered = ids?.split(",").some((id, i) => Number(id) !== i) === true && axes.length > 0;
  return { axes, reordered };
}

const maxBody = 10_000;

/** The sharding in `<@mesh, [{"data"}, {}, {"x":(2)4, ?}], replicated={"model"}>`. */
export function shardingOf(attribute: Attribute | undefined): TextSharding | undefined {
  if (attribute?.kind !== "dialect" || attribute.name !== "sdy.sharding" || attribute.body.length > maxBody) return undefined;
  const match = /^@([\w$.-]+|"[^"]*")\s*,\s*\[(.*?)\]\s*(?:,(.*))?$/s.exec(attribute.body);
  if (match === null) return undefined;
  const dims = [...(match[2] ?? "").matchAll(/\{([^}]*)\}(?:p\d+)?/g)].map(([, inner = ""]) => ({
    axes: [...inner.matchAll(/"([^"]*)"(\s*:\s*\(\d+\)\d+)?/g)].map(([, name = "", sub = ""]) => name + sub.replace(/\s/g, "")),
    open: /\?/.test(inner),
  }));
  const rest = match[3] ?? "";
  return { mesh: (match[1] ?? "").replaceAll('"', ""), dims, ...(/unreduced\s*=/.test(rest) ? { unsupported: "partial sums" } : {}) };
}

/** Whether the sharding decides the split of a dim. */
export const decides = ({ dims }: TextSharding): boolean => dims.some(({ axes, open }) => axes.length > 0 || !open);
