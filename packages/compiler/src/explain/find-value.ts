import { LapidaryError, ensure, suggest } from "@lapidary/std";
import type { Value } from "@lapidary/ir";
import type { Program } from "../program.js";

/** A value by its whole name, or by a unique end of its name. */
export function findValue(program: Program, name: string): Value {
  const named = program.global.values.filter((v) => v.op !== "constant");
  const exact = named.findLast((v) => v.name === name);
  if (exact !== undefined) return exact;
  const ending = [...new Map(named.filter((v) => v.name.endsWith(name)).map((v) => [v.name, v])).values()];
  // A name without its collection means the param, not its moments or gradient.
  const params = ending.filter((v) => v.role === "param" && v.op === "parameter");
  if (ending.length === 1 || params.length === 1) return ensure(params[0] ?? ending[0], "value");
  const near =
    ending.length > 1
      ? ending
          .slice(0, 4)
          .map((v) => v.name)
          .join(", ")
      : nearestName(
          name,
          named.map((v) => v.name),
        );
  throw new LapidaryError({
    code: "LAP_EXPLAIN_UNKNOWN",
    message: ending.length > 1 ? `"${name}" names ${ending.length} values` : `the program has no value "${name}"`,
    location: name,
    remedy:
      near === undefined
        ? "use a parameter's name, or a name that `explain --stage propagate` prints"
        : ending.length > 1
          ? `name one of them: ${near}, …`
          : `did you mean "${near}"?`,
  });
}

/** The most similar name, or the most similar end of a name with as many parts as `name`: `layers.0.mlp.down_pro.weight` has five. */
function nearestName(name: string, names: readonly string[]): string | undefined {
  const parts = name.split(/[./]/).length;
  const lastParts = new RegExp(`(?:[^./]+[./]){${parts - 1}}[^./]+$`);
  return suggest(name, new Set(names.flatMap((each) => [each, lastParts.exec(each)?.[0] ?? each])));
}
