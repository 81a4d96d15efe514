import { floatOf } from "@lapidary/std";

/** Pure functions: the coordinator keeps the history of a run with them, and the page continues from that history. */

/** Buckets of neighbouring steps, oldest first. A bucket has the minimum, the maximum and the last value of each column. */
export interface SeriesJson {
  /** Steps that one bucket spans. */
  readonly width: number;
  /** The last step in each bucket. */
  readonly step: readonly number[];
  readonly columns: Readonly<
    Record<string, { readonly min: readonly number[]; readonly max: readonly number[]; readonly last: readonly number[] }>
  >;
}

interface Column {
  min: number[];
  max: number[];
  last: number[];
}

/**
 * Columns of numbers over steps, in bounded memory. If there are more buckets than `capacity`, neighbours are merged and buckets span twice as
 * many steps. Minimum and maximum of a bucket preserve every spike.
 *
 *     steps    1 2 3 4 5 6 7 8        capacity 4
 *     width 1  1 2 3 4
 *     width 2  1-2 3-4 5-6 7-8
 *
 * A run that goes back to a checkpoint repeats steps. A repeated step removes all values of later steps.
 */
export class Series {
  readonly capacity: number;
  /** The names of the constructor, then those that rows have added. */
  readonly #names: string[];
  readonly #fixed: number;
  #width = 1;
  #step: number[] = [];
  #columns: Column[];

  /** @param maxAdded maximum number of columns that rows may add */
  constructor(
    names: readonly string[],
    capacity: number,
    private readonly maxAdded = 0,
  ) {
    this.capacity = Math.max(2, capacity);
    this.#names = [...names];
    this.#fixed = names.length;
    this.#columns = names.map(() => ({ min: [], max: [], last: [] }));
  }

  static from(json: SeriesJson, names: readonly string[], capacity: number, maxAdded = 0): Series {
    const series = new Series(names, capacity, maxAdded);
    series.#width = json.width;
    series.#step = [...json.step];
    for (const name of Object.keys(json.columns)) series.#addName(name);
    series.#columns = series.#names.map((name) => {
      const column = json.columns[name];
      const empty = json.step.map(() => Number.NaN);
      const numbers = (values: readonly unknown[] = empty): number[] => values.map((value) => floatOf(value) ?? Number.NaN);
      return { min: numbers(column?.min), max: numbers(column?.max), last: numbers(column?.last) };
    });
    series.#shrink();
    return series;
  }

  get length(): number {
    return this.#step.length;
  }

  get lastStep(): number {
    return this.#step.at(-1) ?? 0;
  }

  get width(): number {
    return this.#width;
  }

  /** The names of all columns. */
  get names(): readonly string[] {
    return this.#names;
  }

  /**
   * @param fixed in the order of the names
   * @param more values of further columns, by name. A name that is new adds a column, without values at earlier steps
   */
  add(step: number, fixed: readonly number[], more: Readonly<Record<string, number>> = {}): void {
    for (const name of Object.keys(more)) this.#addName(name);
    const values = this.#names.map((name, i) => (i < this.#fixed ? fixed[i] : Object.hasOwn(more, name) ? more[name] : undefined));
    while (this.#step.length > 0 && step <= this.lastStep) this.#dropLast();
    const at = this.#step.length - 1;
    if (at >= 0 && this.#bucketOf(this.lastStep) === this.#bucketOf(step)) {
      this.#step[at] = step;
      this.#columns.forEach((column, i) => merge(column, at, values[i] ?? Number.NaN, values[i] ?? Number.NaN, values[i] ?? Number.NaN));
      return;
    }
    this.#step.push(step);
    this.#columns.forEach((column, i) => {
      const value = values[i] ?? Number.NaN;
      column.min.push(value);
      column.max.push(value);
      column.last.push(value);
    });
    this.#shrink();
  }

  steps(): readonly number[] {
    return this.#step;
  }

  column(name: string): { readonly min: readonly number[]; readonly max: readonly number[]; readonly last: readonly number[] } {
    return this.#columns[this.#names.indexOf(name)] ?? { min: [], max: [], last: [] };
  }

  /** With at most `points` buckets; values to seven digits. */
  toJson(points: number): SeriesJson {
    const small = this.#step.length <= points ? this : this.#resized(points);
    return {
      width: small.#width,
      step: [...small.#step],
      columns: Object.fromEntries(this.#names.map((name, i) => [name, roundColumn(small.#columns[i] ?? { min: [], max: [], last: [] })])),
    };
  }

  #resized(points: number): Series {
    const copy = new Series(this.#names, points, 0);
    copy.#width = this.#width;
    copy.#step = [...this.#step];
    copy.#columns = this.#columns.map(({ min, max, last }) => ({ min: [...min], max: [...max], last: [...last] }));
    copy.#shrink();
    return copy;
  }

  #addName(name: string): void {
    if (this.#names.includes(name) || this.#names.length >= this.#fixed + this.maxAdded) return;
    this.#names.push(name);
    const empty = (): number[] => this.#step.map(() => Number.NaN);
    this.#columns.push({ min: empty(), max: empty(), last: empty() });
  }

  #bucketOf(step: number): number {
    return Math.floor((step - 1) / this.#width);
  }

  #shrink(): void {
    while (this.#step.length > this.capacity) {
      this.#width *= 2;
      const steps = this.#step;
      const columns = this.#columns;
      this.#step = [];
      this.#columns = columns.map(() => ({ min: [], max: [], last: [] }));
      steps.forEach((step, from) => {
        const at = this.#step.length - 1;
        const same = at >= 0 && this.#bucketOf(this.#step[at] ?? 0) === this.#bucketOf(step);
        if (same) this.#step[at] = step;
        else this.#step.push(step);
        this.#columns.forEach((column, i) => {
          const { min, max, last } = columns[i] ?? { min: [], max: [], last: [] };
          if (same) return merge(column, at, min[from] ?? Number.NaN, max[from] ?? Number.NaN, last[from] ?? Number.NaN);
          column.min.push(min[from] ?? Number.NaN);
          column.max.push(max[from] ?? Number.NaN);
          column.last.push(last[from] ?? Number.NaN);
        });
      });
    }
  }

  #dropLast(): void {
    this.#step.pop();
    for (const { min, max, last } of this.#columns) {
      min.pop();
      max.pop();
      last.pop();
    }
  }
}

function merge(column: Column, at: number, min: number, max: number, last: number): void {
  column.min[at] = least(column.min[at], min);
  column.max[at] = greatest(column.max[at], max);
  column.last[at] = last;
}

const least = (a: number | undefined, b: number): number => (a === undefined || Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b));
const greatest = (a: number | undefined, b: number): number =>
  a === undefined || Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.max(a, b);

const roundColumn = ({ min, max, last }: Column): Column => ({ min: min.map(round), max: max.map(round), last: last.map(round) });
const round = (value: number): number => Number(value.toPrecision(7));
