/**
 * Decoders of JSON values. A decoder checks a value and returns the same value. It copies nothing, so that decoding costs one check of each field. A record
 * has exactly the fields of its type.
 */
export interface Decoder<T> {
  decode(value: unknown): T;
}

/** A field that may be absent. */
export interface OptionalDecoder<T> {
  readonly optional: Decoder<T>;
}

/** A decoder for every field of `T`: optional ones for optional fields, and no others. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? OptionalDecoder<Exclude<T[K], undefined>> : Decoder<T[K]>;
};

/** The error for a value that does not fit, and the field where it does not. */
export class DecodeFailure extends Error {
  readonly expected: string;
  readonly found: unknown;
  readonly #keys: (string | number)[] = [];

  constructor(expected: string, found: unknown) {
    super(`expected ${expected}`);
    this.expected = expected;
    this.found = found;
  }

  /** Adds the key of the field in the value around it. */
  within(key: string | number): this {
    this.#keys.unshift(key);
    return this;
  }

  /** `values.inputs[2]`; empty: the value itself. */
  get field(): string {
    return this.#keys.map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? key : `.${key}`)).join("");
  }
}

const longestShown = 60;

/** `expected a count, found "x"`. */
export function describeFailure({ expected, found }: DecodeFailure): string {
  const text = found === undefined ? "nothing" : (JSON.stringify(found) ?? typeof found);
  return `expected ${expected}, found ${text.length > longestShown ? `${text.slice(0, longestShown)}…` : text}`;
}

function check<T>(expected: string, fits: (value: unknown) => value is T): Decoder<T> {
  return {
    decode: (value) => {
      if (fits(value)) return value;
      throw new DecodeFailure(expected, value);
    },
  };
}

export const text: Decoder<string> = check("text", (value) => typeof value === "string");
export const flag: Decoder<boolean> = check("true or false", (value) => typeof value === "boolean");
export const finite: Decoder<number> = check("a number", (value): value is number => typeof value === "number" && Number.isFinite(value));
export const count: Decoder<number> = check(
  "a whole number that is not negative",
  (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0,
);

/** A value of a list of texts or numbers. */
export const oneOf = <const T extends string | number>(...values: readonly T[]): Decoder<T> =>
  check(`one of ${values.map((value) => JSON.stringify(value)).join(", ")}`, (value): value is T => values.some((one) => one === value));

export const nullable = <T>(of: Decoder<T>): Decoder<T | null> => ({ decode: (value) => (value === null ? null : of.decode(value)) });

export const optional = <T>(of: Decoder<T>): OptionalDecoder<T> => ({ optional: of });

/** The same value as a branded type. `of` must check everything that the brand requires. */
export const branded = <T extends number | string>(of: Decoder<number> | Decoder<string>): Decoder<T> =>
  of as Decoder<number | string> as Decoder<T>;

export const list = <T>(of: Decoder<T>): Decoder<readonly T[]> => ({
  decode: (value) => {
    if (!Array.isArray(value)) throw new DecodeFailure("a list", value);
    for (let i = 0; i < value.length; i++) decodeWithin(of, value[i], i);
    return value as readonly T[];
  },
});

/** An object from texts to values of one kind. */
export const dictionary = <K extends string, T>(of: Decoder<T>): Decoder<{ readonly [key in K]: T }> => ({
  decode: (value) => {
    const object = objectOf(value);
    for (const key of Object.keys(object)) decodeWithin(of, object[key], key);
    return object as { readonly [key in K]: T };
  },
});

/** An object with these fields and no others. */
export function record<T extends object>(fields: Fields<T>): Decoder<T> {
  const entries = Object.entries(fields as Readonly<Record<string, Decoder<unknown> | OptionalDecoder<unknown>>>);
  const known = new Set(entries.map(([key]) => key));
  return {
    decode: (value) => {
      const object = objectOf(value);
      for (const [key, field] of entries) {
        const found = Object.hasOwn(object, key) ? object[key] : undefined;
        if (!("optional" in field)) decodeWithin(field, found, key);
        else if (found !== undefined) decodeWithin(field.optional, found, key);
      }
      for (const key in object) if (!known.has(key)) throw new DecodeFailure("no such field", object[key]).within(key);
      return object as T;
    },
  };
}

/** One of several records. A field says which. */
export function union<D extends string, T extends { readonly [key in D]: string }>(
  discriminant: D,
  variants: { readonly [K in T[D]]: Decoder<Extract<T, { readonly [key in D]: K }>> },
): Decoder<T> {
  const known: Readonly<Record<string, Decoder<T>>> = variants as Readonly<Record<string, Decoder<T>>>;
  const names = oneOf(...Object.keys(known));
  return {
    decode: (value) => {
      const kind = decodeWithin(names, objectOf(value)[discriminant], discriminant);
      const variant = known[kind];
      if (variant === undefined) throw new DecodeFailure("a known kind", kind).within(discriminant);
      return variant.decode(value);
    },
  };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw new DecodeFailure("an object", value);
}

function decodeWithin<T>(of: Decoder<T>, value: unknown, key: string | number): T {
  try {
    return of.decode(value);
  } catch (error) {
    throw error instanceof DecodeFailure ? error.within(key) : error;
  }
}
