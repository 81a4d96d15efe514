import type { Phase, Value } from "@lapidary/ir";

/**
 * The pass that a path of JAX belongs to. `transpose(` marks the backward pass, `rematted_computation` work that it repeats.
 * Values after the last of these, in the order of the text, are the update.
 */
export function phaseOf(path: string): Phase {
  if (/rematted_computation|checkpoint\/.*remat/.test(path)) return "recompute";
  return path.includes("transpose(") ? "backward" : "forward";
}

/** The readable part of a path: `jit(step)/transpose(jvp(loss))/while/body/mlp/dot_general` → `mlp`. */
export function nameOf(path: string): string {
  const parts = path
    .split("/")
    .map((part) => part.replace(/^(?:transpose\()?(?:jvp\()?(?:jit\()?([\w.-]*).*$/, "$1"))
    .filter(
      (part, i) =>
        part !== "" &&
        !(i === 0) &&
        !["while", "body", "cond", "checkpoint", "rematted_computation", "closed_call", "jit", "jvp", "transpose"].includes(part),
    );
  return parts.slice(0, -1).join(".");
}

/** The path of an operation in a function that is inlined. JAX gives most such paths from the function on, and some from the start. */
export const joinPath = (outer: string | undefined, path: string): string =>
  outer === undefined || outer === "" || path.startsWith("jit(") ? path : path === "" ? outer : `${outer}/${path}`;

/** Marks what follows the last gradient as the update. Nothing changes in a graph without a backward pass. */
export function markUpdate(values: Value[]): void {
  const last = values.findLastIndex(({ scope }) => scope.phase === "backward" || scope.phase === "recompute");
  if (last < 0) return;
  values.forEach((value, id) => {
    if (id > last && value.scope.phase === "forward") values[id] = { ...value, scope: { ...value.scope, phase: "update" } };
  });
}
