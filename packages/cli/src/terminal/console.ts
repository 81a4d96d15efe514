import { jsonText, type LapidaryError, redactSecrets, type WarningJSON } from "@lapidary/std";
import { errorJson, errorText, warningText } from "./error-text.js";
import { makePaint, type Paint, wantsColor } from "@lapidary/report/paint";
import type { Output } from "./output.js";
import { Progress } from "./progress.js";

export interface ConsoleOptions {
  /** Results are JSON on stdout, and nothing else is there. */
  readonly json: boolean;
  /** Messages and progress are not shown; warnings and errors are. */
  readonly quiet: boolean;
  /** Details are shown. */
  readonly verbose: boolean;
  /** `--no-color` was not given. */
  readonly color: boolean;
}

/**
 * The output of a command. Results go to stdout, everything else to stderr:
 *
 *                text            --json
 *     stdout     result          one JSON document (or one per line, if a command follows events)
 *     stderr     messages, progress, warnings, errors
 */
export class Console {
  /** For text on stdout. */
  readonly paint: Paint;
  readonly #errPaint: Paint;
  #progress: Progress | undefined;

  constructor(
    private readonly stdout: Output,
    private readonly stderr: Output,
    readonly options: ConsoleOptions,
    env: NodeJS.ProcessEnv,
  ) {
    this.paint = makePaint(wantsColor(stdout, options.color, env));
    this.#errPaint = makePaint(wantsColor(stderr, options.color, env));
  }

  /** Whether stderr is a terminal. Animations need one. */
  get interactive(): boolean {
    return this.stderr.isTTY === true;
  }

  /** Columns of the terminal that shows the results. */
  get columns(): number {
    return this.stdout.columns || 100;
  }

  /** Rows of the terminal that shows the results. */
  get rows(): number {
    return this.stdout.rows || 24;
  }

  /** Whether a person reads the results while they are written: stdout is a terminal, and the results are not JSON. */
  get streams(): boolean {
    return this.stdout.isTTY === true && !this.options.json;
  }

  /** A piece of the result, without a line break. */
  write(text: string): void {
    if (this.options.json) return;
    this.#progress?.clear();
    this.stdout.write(text);
  }

  /** The result of a command: `value` with `--json`, `text()` without. */
  result(value: unknown, text: () => string): void {
    this.#progress?.clear();
    this.stdout.write(`${this.options.json ? jsonText(value) : text().trimEnd()}\n`);
  }

  /** A part of the result without a JSON form. */
  text(text: string): void {
    if (this.options.json) return;
    this.#progress?.clear();
    this.stdout.write(`${text}\n`);
  }

  /** A message about the progress of the command. */
  say(text: string): void {
    if (!this.options.quiet) this.#line(`lapidary: ${text}`);
  }

  /** A message that is printed only with `-v`. */
  detail(text: string): void {
    if (this.options.verbose) this.#line(this.#errPaint.dim(`lapidary: ${text}`));
  }

  /** A warning with code, location and remedy, or a sentence. Shown with `--quiet` and `--json` too; results list coded warnings under `warnings`. */
  warn(warning: WarningJSON | string): void {
    this.#line(
      typeof warning === "string"
        ? `lapidary: ${this.#errPaint.yellow("warning")}: ${redactSecrets(warning)}`
        : warningText(warning, this.#errPaint),
    );
  }

  /** Prints an error: as text on stderr, and with `--json` also as JSON on stdout. */
  fail(error: LapidaryError, place: string): void {
    this.#progress?.end();
    if (this.options.json) this.stdout.write(`${JSON.stringify(errorJson(error, place))}\n`);
    this.#line(errorText(error, place, this.#errPaint));
    if (this.options.verbose && error.cause !== undefined)
      this.detail(redactSecrets(`cause: ${error.cause instanceof Error ? error.cause.stack : String(error.cause)}`));
  }

  /** The progress line of the current work. A console has one at a time. */
  progress(): Progress {
    this.#progress?.end();
    this.#progress = new Progress(this.stderr, this.options.quiet, this.#errPaint);
    return this.#progress;
  }

  #line(text: string): void {
    this.#progress?.clear();
    this.stderr.write(`${text}\n`);
  }
}
