import type { BoundProgram } from "@lapidary/cluster";
import { type Model, cacheArrays } from "@lapidary/models";
import { type Handle, type ProgramHash, type TensorSpec, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { decodeProgram, prefillProgram } from "@lapidary/training";
import type { Session } from "../session.js";

const ids = {
  tokens: handleOf("generate/tokens"),
  token: handleOf("generate/token"),
  first: handleOf("generate/first"),
  position: handleOf("generate/position"),
  logits: handleOf("generate/logits"),
} as const;

/** Rows, positions of a prompt, and positions of the cache: a pair of programs serves one shape. */
interface BatchShape {
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
  /** Tokens that the model reads at most. */
  readonly context: number;
  /**
   * Logits [V] of the token after the last. The batch computes when every seat has asked.
   *
   * @param tokens the sequence, 1 to `context` tokens
   */
  logits(tokens: readonly number[]): Promise<Float32Array>;
  /** Leaves the batch, which no longer waits for this seat. */
  leave(): void;
}

interface Asked {
  readonly tokens: readonly number[];
  readonly resolve: (logits: Float32Array) => void;
  readonly reject: (error: unknown) => void;
}

class Seat implements GenerationSeat {
  asked: Asked | undefined;
  /** The row of the cache that holds the sequence, and the sequence. */
  held: { readonly row: number; readonly tokens: readonly number[] } | undefined;

  constructor(
    private readonly batch: GenerationBatch,
    readonly context: number,
  ) {}

  logits(tokens: readonly number[]): Promise<Float32Array> {
    assert(this.asked === undefined && tokens.length > 0 && tokens.length <= this.context, "one question at a time", tokens.length);
    return new Promise((resolve, reject) => {
      this.asked = { tokens, resolve, reject };
      this.batch.step();
    });
  }

  leave(): void {
    this.batch.leave(this);
  }
}

/**
 * Continues several sequences at once with a cache of keys and values. When a sequence is the one before and one token more, the batch computes
 * that token only (`decode`). Otherwise, for a new sequence or a moved window, it computes all sequences anew (`prefill`).
 *
 * The weights are arrays of the session under the names of the programs' parameters.
 */
export class GenerationBatch {
  readonly #session: Session;
  readonly #model: Model;
  readonly #programs = new Map<string, Programs>();
  readonly #seats = new Set<Seat>();
  /** The shape of the cache that the workers hold, and the position of the next token. */
  #cached: { readonly shape: BatchShape; readonly programs: Programs; position: number } | undefined;
  #isRunning = false;

  constructor(
    session: Session,
    model: Model,
    /** Tokens that the model reads at most. */
    readonly context: number,
  ) {
    this.#session = session;
    this.#model = model;
  }

  /** The weights as the programs read them, after the programs for one row of `promptTokens` are loaded. */
  async weights(promptTokens: number): Promise<readonly TensorSpec[]> {
    const { prefillHash } = await this.#programsOf(this.#shapeFor(1, Math.min(this.context, promptTokens)));
    return this.#session.group.parameters(prefillHash).filter(({ role }) => role === "param");
  }

  join(): GenerationSeat {
    const seat = new Seat(this, this.context);
    this.#seats.add(seat);
    return seat;
  }

  leave(seat: Seat): void {
    this.#seats.delete(seat);
    this.step();
  }

  /** Computes one step if no seat is missing. */
  step(): void {
    const seats = [...this.#seats];
    if (this.#isRunning || seats.length === 0 || seats.some(({ asked }) => asked === undefined)) return;
    this.#isRunning = true;
    void this.#answer(seats);
  }

  async #answer(seats: readonly Seat[]): Promise<void> {
    const asked = seats.map((seat) => ensure(seat.asked, "question"));
    for (const seat of seats) seat.asked = undefined;
    try {
      const logits = this.#canDecode(seats, asked) ? await this.#decode(seats, asked) : await this.#prefill(seats, asked);
      this.#isRunning = false;
      asked.forEach(({ resolve }, i) => resolve(ensure(logits[i], "logits")));
    } catch (error) {
      this.#isRunning = false;
      for (const { reject } of asked) reject(error);
    }
  }

  #canDecode(seats: readonly Seat[], asked: readonly Asked[]): boolean {
    if (this.#cached === undefined || this.#cached.position >= this.#cached.shape.positions) return false;
    return seats.every(({ held }, i) => held !== undefined && isLongerByOne(ensure(asked[i], "question").tokens, held.tokens));
  }

  async #decode(seats: readonly Seat[], asked: readonly Asked[]): Promise<Float32Array[]> {
    const cached = ensure(this.#cached, "cache");
    const { shape, programs } = cached;
    const token = new Int32Array(shape.rows);
    seats.forEach((seat, i) => {
      const { row } = ensure(seat.held, "row");
      const { tokens } = ensure(asked[i], "question");
      token[row] = ensure(tokens.at(-1), "token");
      seat.held = { row, tokens };
    });
    const { decodeHash: hash } = programs;
    const puts = [
      this.#put(hash, "token", ids.token, [shape.rows], token),
      this.#put(hash, "position", ids.position, [], Int32Array.of(cached.position++)),
    ];
    const logits = await this.#run(programs.decode, puts);
    return seats.map((seat) => rowOf(logits, ensure(seat.held, "row").row, this.#model.vocabSize));
  }

  async #prefill(seats: readonly Seat[], asked: readonly Asked[]): Promise<Float32Array[]> {
    const longest = Math.max(...asked.map(({ tokens }) => tokens.length));
    const shape = this.#shapeFor(seats.length, longest);
    const { prompt } = shape;
    await this.#dropCache();
    const programs = await this.#programsOf(shape);
    const [tokens, first] = [new Int32Array(shape.rows * prompt), new Int32Array(shape.rows).fill(prompt - 1)];
    seats.forEach((seat, row) => {
      const { tokens: sequence } = ensure(asked[row], "question");
      first[row] = prompt - sequence.length;
      tokens.set(sequence, row * prompt + prompt - sequence.length);
      seat.held = { row, tokens: sequence };
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

  /** The shape for sequences of at most `longest` tokens. Sizes are powers of two, so that few programs serve all sequences. */
  #shapeFor(sequences: number, longest: number): BatchShape {
    const prompt = Math.min(this.context, powerOfTwo(longest));
    // From a full context on, the window of tokens moves with every token: nothing that is cached is of use.
    const positions = longest === this.context ? prompt : prompt + Math.min(powerOfTwo(this.context - longest), Math.max(64, prompt));
    return { rows: powerOfTwo(sequences), prompt, positions };
  }

  #put(hash: ProgramHash, name: string, id: Handle, dims: readonly number[], data: Int32Array): Promise<void> {
    const { group } = this.#session;
    return group.put({ ...group.parameter(hash, name), id }, { dtype: "i32", dims, data });
  }

  async #run(program: BoundProgram, puts: readonly Promise<void>[]): Promise<Float32Array> {
    const { group } = this.#session;
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
    await this.#session.group.drop([...cache, ids.first]);
  }

  async #programsOf(shape: BatchShape): Promise<Programs> {
    const key = `${shape.rows}x${shape.prompt}x${shape.positions}`;
    const known = this.#programs.get(key);
    if (known !== undefined) return known;
    const { group } = this.#session;
    const { rows: batch, prompt, positions } = shape;
    const compiled = (name: string, graph: Parameters<Session["compile"]>[1]): Promise<ProgramHash> =>
      group.load(this.#session.compile(`${name} ${key}`, graph));
    const prefillHash = await compiled("prefill", prefillProgram(this.#model, { batch, prompt, positions }));
    const decodeHash = await compiled("decode", decodeProgram(this.#model, { batch, positions }));
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

/** The smallest power of two that is at least n. */
const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));

const rowOf = (matrix: Float32Array, row: number, columns: number): Float32Array => matrix.slice(row * columns, (row + 1) * columns);
