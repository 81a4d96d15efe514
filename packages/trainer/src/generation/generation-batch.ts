import type { BoundProgram } from "@lapidary/cluster";
import type { Graph } from "@lapidary/ir";
import { type Model, cacheArrays } from "@lapidary/models";
import { type Handle, type ProgramHash, type TensorSpec, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { decodeProgram, prefillProgram } from "@lapidary/training";
import type { TokenHost } from "../rl/program-host.js";

const ids = {
  tokens: handleOf("generate/tokens"),
  token: handleOf("generate/token"),
  first: handleOf("generate/first"),
  position: handleOf("generate/position"),
  logits: handleOf("generate/logits"),
} as const;

/** Rows, positions of a prompt, and positions of the cache: a pair of programs serves one shape. */
export interface BatchShape {
  readonly rows: number;
  readonly prompt: number;
  readonly positions: number;
}

interface Programs {
  readonly prefill: BoundProgram;
  readonly decode: BoundProgram;
  readonly prefillHash: ProgramHash;
  readonly decodeHash: ProgramHash;
  /** Handles of the cache, which every program of the batch shares. */
  readonly cache: readonly Handle[];
}

/** One sequence that a batch continues. */
export interface GenerationSeat {
  /** Maximum number of tokens that the model reads. */
  readonly context: number;
  /**
   * Logits [V] of the token after the last. The batch computes after every seat has requested logits.
   *
   * @param tokens the sequence, 1 to `context` tokens
   */
  logits(tokens: readonly number[]): Promise<Float32Array>;
  /** Leaves the batch, which no longer waits for this seat. Call it after the last `logits` settled. */
  leave(): void;
}

interface LogitsRequest {
  readonly tokens: readonly number[];
  readonly resolve: (logits: Float32Array) => void;
  readonly reject: (error: unknown) => void;
}

class Seat implements GenerationSeat {
  request: LogitsRequest | undefined;
  /** The row of the cache with the keys and values of the sequence, and the sequence. */
  cached: { readonly row: number; readonly tokens: readonly number[] } | undefined;

  constructor(
    private readonly batch: GenerationBatch,
    readonly context: number,
  ) {}

  logits(tokens: readonly number[]): Promise<Float32Array> {
    assert(this.request === undefined, "a seat has one request at a time");
    assert(tokens.length > 0 && tokens.length <= this.context, "a sequence fits in the context", tokens.length, this.context);
    return new Promise((resolve, reject) => {
      this.request = { tokens: tokens.slice(), resolve, reject };
      this.batch.stepSoon();
    });
  }

  leave(): void {
    this.batch.leave(this);
  }
}

/**
 * Continues several sequences together with a cache of keys and values. If every sequence is its previous one and one more token, the batch
 * computes only that token (`decode`). Otherwise, for a new sequence or a moved window, it computes all sequences again (`prefill`).
 *
 * The logits of a sequence do not depend on the other sequences, except for the rounding of f32.
 *
 * The weights are arrays of the host under the names of the programs' parameters.
 */
export class GenerationBatch {
  readonly #host: TokenHost;
  readonly #model: Model;
  readonly #programs = new Map<string, Programs>();
  readonly #seats = new Set<Seat>();
  readonly #steps = { prefill: 0, decode: 0 };
  /** The shape of the cache on the workers, and the position of the next token. */
  #cached: { readonly shape: BatchShape; readonly programs: Programs; position: number } | undefined;
  #isRunning = false;
  #next: NodeJS.Immediate | undefined;

  constructor(
    host: TokenHost,
    model: Model,
    /** Maximum number of tokens that the model reads. */
    readonly context: number,
    /** The only shape, if the host has programs of no other. By default the shape follows from the sequences. */
    private readonly shape?: BatchShape,
  ) {
    this.#host = host;
    this.#model = model;
  }

  /** Number of runs of each program. */
  get steps(): { readonly prefill: number; readonly decode: number } {
    return this.#steps;
  }

  /** The weights as the programs read them. Loads the programs for `rows` sequences of at most `tokens` tokens. */
  async weights(tokens: number, rows = 1): Promise<readonly TensorSpec[]> {
    const { prefillHash } = await this.#programsOf(this.#shapeFor(rows, Math.min(this.context, tokens)));
    return this.#host.group.parameters(prefillHash).filter(({ role }) => role === "param");
  }

  /** Adds a sequence. Its first request leads to a prefill of all sequences. */
  join(): GenerationSeat {
    const seat = new Seat(this, this.context);
    this.#seats.add(seat);
    return seat;
  }

  leave(seat: Seat): void {
    this.#seats.delete(seat);
    this.stepSoon();
  }

  /** Frees the cache, after every seat has left. A session has one open batch, because the cache has the same handles in all batches. */
  async close(): Promise<void> {
    assert(this.#seats.size === 0 && !this.#isRunning, "every seat has left");
    clearImmediate(this.#next);
    await this.#dropCache();
  }

  /** Seats that join or leave in the same turn of the event loop share a step. */
  stepSoon(): void {
    this.#next ??= setImmediate(() => {
      this.#next = undefined;
      this.#step();
    });
  }

  /** Computes one step if every seat has a request. */
  #step(): void {
    const seats = [...this.#seats];
    if (this.#isRunning || seats.length === 0 || seats.some(({ request }) => request === undefined)) return;
    this.#isRunning = true;
    void this.#answer(seats);
  }

  async #answer(seats: readonly Seat[]): Promise<void> {
    const requests = seats.map((seat) => ensure(seat.request, "request"));
    for (const seat of seats) seat.request = undefined;
    try {
      const logits = this.#canDecode(seats, requests) ? await this.#decode(seats, requests) : await this.#prefill(seats, requests);
      this.#isRunning = false;
      requests.forEach(({ resolve }, i) => resolve(ensure(logits[i], "logits")));
    } catch (error) {
      this.#isRunning = false;
      // The cache may be incomplete, so the next step computes it again.
      for (const seat of this.#seats) seat.cached = undefined;
      for (const { reject } of requests) reject(error);
    }
    this.stepSoon();
  }

  #canDecode(seats: readonly Seat[], requests: readonly LogitsRequest[]): boolean {
    if (this.#cached === undefined || this.#cached.position >= this.#cached.shape.positions) return false;
    return seats.every(({ cached }, i) => cached !== undefined && isLongerByOne(ensure(requests[i], "request").tokens, cached.tokens));
  }

  async #decode(seats: readonly Seat[], requests: readonly LogitsRequest[]): Promise<Float32Array[]> {
    const cached = ensure(this.#cached, "cache");
    this.#steps.decode++;
    const { shape, programs } = cached;
    const token = new Int32Array(shape.rows);
    seats.forEach((seat, i) => {
      const { row } = ensure(seat.cached, "row");
      const { tokens } = ensure(requests[i], "request");
      token[row] = ensure(tokens.at(-1), "token");
      seat.cached = { row, tokens };
    });
    const { decodeHash: hash } = programs;
    const puts = [
      this.#put(hash, "token", ids.token, [shape.rows], token),
      this.#put(hash, "position", ids.position, [], Int32Array.of(cached.position++)),
    ];
    const logits = await this.#run(programs.decode, puts);
    return seats.map((seat) => rowOf(logits, ensure(seat.cached, "row").row, this.#model.vocabSize));
  }

  async #prefill(seats: readonly Seat[], requests: readonly LogitsRequest[]): Promise<Float32Array[]> {
    const longest = Math.max(...requests.map(({ tokens }) => tokens.length));
    const shape = this.#shapeFor(seats.length, longest);
    const { prompt } = shape;
    this.#steps.prefill++;
    await this.#dropCache();
    const programs = await this.#programsOf(shape);
    const [tokens, first] = [new Int32Array(shape.rows * prompt), new Int32Array(shape.rows).fill(prompt - 1)];
    seats.forEach((seat, row) => {
      const { tokens: sequence } = ensure(requests[row], "request");
      first[row] = prompt - sequence.length;
      tokens.set(sequence, row * prompt + prompt - sequence.length);
      seat.cached = { row, tokens: sequence };
    });
    const { prefillHash: hash } = programs;
    const puts = [
      this.#put(hash, "tokens", ids.tokens, [shape.rows, prompt], tokens),
      this.#put(hash, "first", ids.first, [shape.rows], first),
    ];
    this.#cached = { shape, programs, position: prompt };
    const logits = await this.#run(programs.prefill, puts);
    return seats.map((_, row) => rowOf(logits, row, this.#model.vocabSize));
  }

  /** The shape for sequences of at most `longest` tokens. Sizes are powers of two, so that few programs suffice for all sequences. */
  #shapeFor(sequences: number, longest: number): BatchShape {
    if (this.shape !== undefined) return this.shape;
    const prompt = Math.min(this.context, Math.max(shortestPrompt, powerOfTwo(longest)));
    // If the context is full, the window of tokens moves with every token, and the next step cannot use the cache.
    const positions = longest === this.context ? prompt : prompt + Math.min(powerOfTwo(this.context - longest), Math.max(64, prompt));
    return { rows: powerOfTwo(sequences), prompt, positions };
  }

  #put(hash: ProgramHash, name: string, id: Handle, dims: readonly number[], data: Int32Array): Promise<void> {
    const { group } = this.#host;
    return group.put({ ...group.parameter(hash, name), id }, { dtype: "i32", dims, data });
  }

  async #run(program: BoundProgram, puts: readonly Promise<void>[]): Promise<Float32Array> {
    const { group } = this.#host;
    const ran = group.run(program, { step: stepIndex(0) });
    const fetched = group.fetch(ids.logits);
    const dropped = group.drop([ids.logits]);
    await Promise.all([...puts, ran, fetched, dropped]);
    const { data } = await fetched;
    assert(data instanceof Float32Array, "logits are f32");
    return data;
  }

  async #dropCache(): Promise<void> {
    if (this.#cached === undefined) return;
    const { cache } = this.#cached.programs;
    this.#cached = undefined;
    await this.#host.group.drop([...cache, ids.first]);
  }

  async #programsOf(shape: BatchShape): Promise<Programs> {
    const key = `${shape.rows}x${shape.prompt}x${shape.positions}`;
    const known = this.#programs.get(key);
    if (known !== undefined) return known;
    const { group } = this.#host;
    const { rows: batch, prompt, positions } = shape;
    const compiled = (name: string, graph: () => Graph): Promise<ProgramHash> => this.#host.load(`${name} ${key}`, graph);
    const prefillHash = await compiled("prefill", () => prefillProgram(this.#model, { batch, prompt, positions }));
    const decodeHash = await compiled("decode", () => decodeProgram(this.#model, { batch, positions }));
    const cache = cacheArrays(this.#model, { batch, positions }).map(({ name }) => handleOf(name));
    const outputs = new Map([...cache.map((id) => [String(id), id] as const), ["logits", ids.logits]]);
    const inputsOf = (hash: ProgramHash): Map<string, Handle> =>
      new Map(group.parameters(hash).map(({ id }) => [id, (ids as Readonly<Record<string, Handle>>)[id] ?? id]));
    const programs: Programs = {
      prefill: group.bind(prefillHash, { inputs: inputsOf(prefillHash), outputs, donate: [ids.tokens] }),
      decode: group.bind(decodeHash, { inputs: inputsOf(decodeHash), outputs, donate: [...cache, ids.token, ids.position] }),
      prefillHash,
      decodeHash,
      cache,
    };
    this.#programs.set(key, programs);
    return programs;
  }
}

const isLongerByOne = (longer: readonly number[], shorter: readonly number[]): boolean =>
  longer.length === shorter.length + 1 && shorter.every((token, i) => token === longer[i]);

/** Positions of the shortest prompt. */
const shortestPrompt = 16;

/** The smallest power of two that is at least n. */
export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));

const rowOf = (matrix: Float32Array, row: number, columns: number): Float32Array => matrix.slice(row * columns, (row + 1) * columns);
