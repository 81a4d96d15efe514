import { existsSync } from "node:fs";
import { createRequire } from "node:module";

/** The functions of `T`, by name. The type requires each name and no other. */
export type FunctionNames<T> = Readonly<Record<keyof T, true>>;

/** The exports of a library, or the reason why it cannot be loaded. */
export function loadLibrary(path: string): object | string {
  if (!existsSync(path)) return "not built";
  try {
    const exported: unknown = createRequire(import.meta.url)(path);
    return typeof exported === "object" && exported !== null ? exported : `${path} exports no functions`;
  } catch (error) {
    return error instanceof Error ? (error.message.split("\n")[0] ?? error.message) : String(error);
  }
}

/** Whether a library exports all functions of `T`. On systems that do not support them, it exports none. */
export function hasFunctions<T extends object>(library: object, names: FunctionNames<T>): library is T {
  return Object.keys(names).every((name) => typeof Reflect.get(library, name) === "function");
}
