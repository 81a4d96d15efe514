import { LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { type DroppedExample, droppedExample, maxExamples, maxExamplesOfReason, smallestExamples } from "./examples.js";
import { binOf, type Histogram, mergeHistograms, sortedBins } from "./histogram.js";
import { LimitCounter, type LimitCounts, limitCounts, mergeLimits } from "./limit-counts.js";

/** A file that could not be read to its end, and why. */
export interface FileError {
  readonly file: string;
  readonly reason: string;
}

/** What one stage did with documents: `in = out + Σ dropped`. */
export interface AccountCounts {
  readonly in: number;
  readonly out: number;
  /** Documents that were not delivered, by reason. Reasons are sorted. */
  readonly dropped: Readonly<Record<string, number>>;
  /** UTF-8 bytes of the delivered texts. */
  readonly bytes: number;
  readonly errors: readonly FileError[];
  /** UTF-8 bytes that were removed from delivered texts, by reason. */
  readonly cut?: Readonly<Record<string, number>> | undefined;
  /** UTF-8 bytes of dropped texts, by reason. Documents without a readable text have none. */
  readonly lost?: Readonly<Record<string, number>> | undefined;
  /** Ids of the delivered texts, if the stage encodes them. */
  readonly tokens?: number | undefined;
  /** A uniform sample of the dropped documents. */
  readonly examples?: readonly DroppedExample[] | undefined;
  /** Of each measure, if the stage measures. */
  readonly histograms?: Readonly<Record<string, Histogram>> | undefined;
  /** Of each limit of a rule: what another limit would drop. */
  readonly limits?: Readonly<Record<string, LimitCounts>> | undefined;
}

const count = z.number().int().nonnegative();
const counts = z.record(z.string(), count);

/** The form of a stored account. */
export const accountSchema = z.object({
  in: count,
  out: count,
  dropped: counts,
  bytes: count,
  errors: z.array(z.object({ file: z.string(), reason: z.string() })),
  cut: counts.optional(),
  lost: counts.optional(),
  tokens: count.optional(),
  examples: z.array(z.object({ id: z.string(), reason: z.string(), excerpt: z.string() })).optional(),
  histograms: z.record(z.string(), counts).optional(),
  limits: z.record(z.string(), limitCounts).optional(),
});

/**
 * Counts the documents of one stage. Each document enters, and is then delivered or dropped. The three are counted
 * apart, so that a document that a stage loses shows as a sum that does not meet.
 */
export class Account {
  #in = 0;
  #out = 0;
  #bytes = 0;
  readonly #dropped = new Map<string, number>();
  readonly #errors: FileError[] = [];
  readonly #cut = new Map<string, number>();
  readonly #lost = new Map<string, number>();
  readonly #limits = new LimitCounter();
  readonly #histograms = new Map<string, Map<string, number>>();
  #examples: readonly DroppedExample[] = [];
  #tokens: number | undefined;

  enter(documents = 1): void {
    this.#in += documents;
  }

  deliver(text: string): void {
    this.#out++;
    this.#bytes += Buffer.byteLength(text);
  }

  drop(reason: string, documents = 1): void {
    if (documents > 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + documents);
  }

  /** Drops a document whose id and text are known. It can become an example. */
  dropDocument({ id, text }: { readonly id: string; readonly text: string }, reason: string): void {
    this.drop(reason);
    this.#lost.set(reason, (this.#lost.get(reason) ?? 0) + Buffer.byteLength(text));
    const last = this.#examples[maxExamples - 1];
    const lastOfReason = this.#examples.filter((example) => example.reason === reason)[maxExamplesOfReason - 1];
    if (last === undefined || id < last.id || lastOfReason === undefined || id < lastOfReason.id)
      this.#examples = smallestExamples([...this.#examples, droppedExample(id, reason, text)]);
  }

  /** Bytes that the stage removed from a text that it delivers. */
  cut(reason: string, bytes: number): void {
    if (bytes > 0) this.#cut.set(reason, (this.#cut.get(reason) ?? 0) + bytes);
  }

  encode(tokens: number): void {
    this.#tokens = (this.#tokens ?? 0) + tokens;
  }

  /** A value of a measure of one document. */
  observe(measure: string, value: number): void {
    const bins = this.#histograms.get(measure) ?? new Map<string, number>();
    this.#histograms.set(measure, bins);
    const bin = binOf(value);
    bins.set(bin, (bins.get(bin) ?? 0) + 1);
  }

  /** A document that only the limit of one rule can drop: its value, and whether the present limit keeps it. */
  observeLimit(limit: string, value: number, isKept: boolean): void {
    this.#limits.add(limit, value, isKept);
  }

  /** A file has an error. Documents that were delivered before it stay delivered. */
  fail(file: string, reason: string): void {
    this.#errors.push({ file, reason });
  }

  /** @throws LapidaryError LAP_DATA_ACCOUNT if documents are missing */
  counts(location: string): AccountCounts {
    const dropped = sorted(this.#dropped);
    const details = {
      ...(this.#cut.size === 0 ? {} : { cut: sorted(this.#cut) }),
      ...(this.#lost.size === 0 ? {} : { lost: sorted(this.#lost) }),
      ...(this.#tokens === undefined ? {} : { tokens: this.#tokens }),
      ...(this.#examples.length === 0 ? {} : { examples: this.#examples }),
      ...(this.#histograms.size === 0 ? {} : { histograms: mergeHistograms([this.#binned()]) }),
      ...(this.#limits.isEmpty ? {} : { limits: this.#limits.counts() }),
    };
    return checkAccount({ in: this.#in, out: this.#out, dropped, bytes: this.#bytes, errors: [...this.#errors], ...details }, location);
  }

  #binned(): Record<string, Histogram> {
    return Object.fromEntries([...this.#histograms].map(([name, bins]) => [name, sortedBins(bins)]));
  }
}

/**
 * The sums of accounts, in any order of them, apart from the order of the errors.
 *
 * @throws LapidaryError LAP_DATA_ACCOUNT if one of the accounts does not add up
 */
export function mergeAccounts(accounts: readonly AccountCounts[], location: string): AccountCounts {
  for (const account of accounts) checkAccount(account, location);
  const sum = (of: (account: AccountCounts) => number): number => accounts.reduce((total, account) => total + of(account), 0);
  const dropped = sumByReason(accounts.map((account) => account.dropped));
  const errors = accounts.flatMap((account) => account.errors);
  const merged = { in: sum((a) => a.in), out: sum((a) => a.out), dropped, bytes: sum((a) => a.bytes), errors, ...mergeDetails(accounts) };
  return checkAccount(merged, location);
}

/** A detail is absent if no account has it. */
function mergeDetails(
  accounts: readonly AccountCounts[],
): Pick<AccountCounts, "cut" | "lost" | "tokens" | "examples" | "histograms" | "limits"> {
  const lost = accounts.flatMap((account) => (account.lost === undefined ? [] : [account.lost]));
  const limits = accounts.flatMap((account) => (account.limits === undefined ? [] : [account.limits]));
  const cut = accounts.flatMap((account) => (account.cut === undefined ? [] : [account.cut]));
  const tokens = accounts.flatMap((account) => (account.tokens === undefined ? [] : [account.tokens]));
  const examples = accounts.flatMap((account) => account.examples ?? []);
  const histograms = accounts.flatMap((account) => (account.histograms === undefined ? [] : [account.histograms]));
  return {
    ...(cut.length === 0 ? {} : { cut: sumByReason(cut) }),
    ...(lost.length === 0 ? {} : { lost: sumByReason(lost) }),
    ...(tokens.length === 0 ? {} : { tokens: tokens.reduce((total, each) => total + each, 0) }),
    ...(examples.length === 0 ? {} : { examples: smallestExamples(examples) }),
    ...(histograms.length === 0 ? {} : { histograms: mergeHistograms(histograms) }),
    ...(limits.length === 0 ? {} : { limits: mergeLimits(limits) }),
  };
}

function sumByReason(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const each of counts) for (const [reason, count] of Object.entries(each)) sums.set(reason, (sums.get(reason) ?? 0) + count);
  return sorted(sums);
}

/**
 * The account itself, if its sums meet.
 *
 * @param location what was counted, for the message
 * @throws LapidaryError LAP_DATA_ACCOUNT
 */
export function checkAccount(account: AccountCounts, location: string): AccountCounts {
  const dropped = Object.values(account.dropped).reduce((total, count) => total + count, 0);
  const isWhole = [account.in, account.out, account.bytes, ...Object.values(account.dropped)].every(
    (n) => Number.isSafeInteger(n) && n >= 0,
  );
  if (isWhole && account.in === account.out + dropped) return account;
  throw new LapidaryError({
    code: "LAP_DATA_ACCOUNT",
    message: `${account.in} documents came in, ${account.out} were delivered and ${dropped} were dropped`,
    location,
  });
}

const sorted = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
