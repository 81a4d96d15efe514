import { join } from "node:path";
import type { MetricsRow } from "@lapidary/api";
import { tensorboardEvents, tensorboardFileName, tensorboardHeader } from "@lapidary/offline/tensorboard";
import { GrowingOutput, writeOutputFile } from "./output.js";

/** The metrics of a run as an event file of TensorBoard, in the directory `root`/`run`. */
export class TensorboardFile {
  readonly #file: GrowingOutput;

  /** @param begin milliseconds since the epoch; part of the file name */
  constructor(root: string, run: string, begin: number) {
    this.#file = new GrowingOutput(pathOf(root, run, begin), what, tensorboardHeader(begin));
  }

  /** Writes all rows in one operation: completely or not at all. */
  static write(root: string, run: string, begin: number, rows: readonly MetricsRow[]): { readonly path: string; readonly bytes: number } {
    const [path, data] = [pathOf(root, run, begin), Buffer.concat([tensorboardHeader(begin), tensorboardEvents(rows)])];
    writeOutputFile(path, what, data);
    return { path, bytes: data.length };
  }

  get path(): string {
    return this.#file.path;
  }

  append(...rows: readonly MetricsRow[]): void {
    this.#file.append(tensorboardEvents(rows));
  }
}

const what = "the TensorBoard events";
const pathOf = (root: string, run: string, begin: number): string => join(root, run, tensorboardFileName(begin));
