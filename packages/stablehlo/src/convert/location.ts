import type { Location, SourceModule } from "../text/syntax.js";

/** What a location says about a value: its path in the program, and the line of the user's code. */
export interface Source {
  /** `jit(step)/transpose(jvp(loss))/while/body/mlp/dot_general`. */
  readonly path: string;
  /** `train.py:41`; undefined in texts without locations. */
  readonly line?: string;
}

const maxSteps = 100;

/** Resolves locations of a module. Each alias is resolved once. */
export function locationReader({ locationAliases }: SourceModule): (location: Location | undefined) => Source {
  const known = new Map<string, Source>();
  const read = (location: Location | undefined, steps: number): Source => {
    if (location === undefined || steps > maxSteps) return { path: "" };
    switch (location.kind) {
      case "unknown":
        return { path: "" };
      case "file":
        return { path: "", line: `${location.file}:${location.line}` };
      case "name": {
        const child = read(location.child, steps + 1);
        // A name that ends in ":" is that of the callee, whose child has the path of the call.
        const own = location.name.replace(/:$/, "");
        return {
          path: location.name.endsWith(":") && child.path !== "" ? child.path : own,
          ...(child.line === undefined ? {} : { line: child.line }),
        };
      }
      case "callsite": {
        const callee = read(location.callee, steps + 1);
        const caller = read(location.caller, steps + 1);
        const line = callee.line ?? caller.line;
        return { path: callee.path === "" ? caller.path : callee.path, ...(line === undefined ? {} : { line }) };
      }
      case "fused": {
        const parts = location.locations.map((part) => read(part, steps + 1));
        const line = parts.find((part) => part.line !== undefined)?.line;
        return { path: parts.find((part) => part.path !== "")?.path ?? "", ...(line === undefined ? {} : { line }) };
      }
      case "alias": {
        const found = known.get(location.name);
        if (found !== undefined) return found;
        const source = read(locationAliases.get(location.name), steps + 1);
        known.set(location.name, source);
        return source;
      }
    }
  };
  return (location) => read(location, 0);
}
