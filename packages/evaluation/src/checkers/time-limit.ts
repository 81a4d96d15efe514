import { createContext, Script } from "node:vm";
import { checkerTimeout } from "../evaluation-errors.js";

/** Calls `work` and returns its value. @throws LapidaryError LAP_CHECKER_TIMEOUT if it takes longer than the limit */
export type TimeLimit = <T>(work: () => T) => T;

/**
 * A time limit for synchronous work, such as a match of a regular expression. The watchdog of `node:vm` terminates the JavaScript engine also
 * inside of a match. A thread would need the same limit and would make every check asynchronous.
 *
 * Work that takes too long is an error and never a score, because the time depends on the load of the machine. A score would make the rewards
 * of a repeated run differ.
 *
 * @param place of the checker, for the error
 */
export function timeLimit(limit_ms: number, place: string): TimeLimit {
  const scope: { run?: () => void } = {};
  const context = createContext(scope);
  const script = new Script("run()");
  return <T>(work: () => T): T => {
    let result: { readonly value: T } | undefined;
    scope.run = () => {
      result = { value: work() };
    };
    try {
      script.runInContext(context, { timeout: limit_ms });
    } catch (error) {
      if (isTimeout(error)) throw checkerTimeout(place, limit_ms);
      throw error;
    } finally {
      delete scope.run;
    }
    // The script calls `run`, which sets the result or throws.
    if (result === undefined) throw new Error("invariant broken: the limited work has no result");
    return result.value;
  };
}

/** The error of the watchdog belongs to the context of the script, so that it is not an `Error` of this context. */
const isTimeout = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
