import type { Reporter } from "@lapidary/offline/reporter";
import type { Console } from "./console.js";

/** Prints the reports of a function on the console. The progress line appears with the first phase and disappears at `end`. */
export function consoleReporter(console: Console): Reporter & { readonly end: () => void } {
  const progress = console.progress();
  return {
    progress: (phase, state) => progress.update(phase, state),
    say: (text) => console.say(text),
    detail: (text) => console.detail(text),
    warn: (warning) => console.warn(warning),
    end: () => progress.end(),
  };
}
