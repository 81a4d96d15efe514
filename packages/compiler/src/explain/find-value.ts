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
      : suggest(name, new Set(named.map((v) => v.name)));
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
