import { errorFromJSON, isErrorJSON, type LapidaryError } from "@lapidary/std";

/**
 * The error in the last log line of a worker that failed. A worker writes it as the field `failure`, because it has no channel to the coordinator
 * once it ends.
 *
 * @returns undefined if the line has no such field
 */
export function startFailure(line: string): LapidaryError | undefined {
  if (!line.includes('"failure"')) return undefined;
  try {
    const logged: unknown = JSON.parse(line);
    const failure: unknown = typeof logged === "object" && logged !== null ? Reflect.get(logged, "failure") : undefined;
    return isErrorJSON(failure) ? errorFromJSON(failure) : undefined;
  } catch (error) {
    // A crash writes text.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
