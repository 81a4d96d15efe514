import { LapidaryError } from "@lapidary/std";

/** A position in a text, from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The text is not MLIR as JAX and StableHLO print it. */
export class ImportTextError extends LapidaryError {
  constructor(file: string, { line, column }: Position, message: string) {
    super({
      code: "LAP_IMPORT_TEXT",
      message,
      location: `${file}:${line}:${column}`,
      remedy: "write the text with `jax.jit(step).lower(…).as_text()`, and pass the whole file",
    });
  }
}
