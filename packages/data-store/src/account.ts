import { LapidaryError } from "@lapidary/std";

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
}

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

  /** A file has an error. Documents that were delivered before it stay delivered. */
  fail(file: string, reason: string): void {
    this.#errors.push({ file, reason });
  }

  /** @throws LapidaryError LAP_DATA_ACCOUNT if documents are missing */
  counts(location: string): AccountCounts {
    const dropped = sorted(this.#dropped);
    return checkAccount({ in: this.#in, out: this.#out, dropped, bytes: this.#bytes, errors: [...this.#errors] }, location);
  }
}

/**
 * The sums of accounts, in any order of them, apart from the order of the errors.
 *
 * @throws LapidaryError LAP_DATA_ACCOUNT if one of the accounts does not add up
 */
export function mergeAccounts(accounts: readonly AccountCounts[], location: string): AccountCounts {
  const dropped = new Map<string, number>();
  for (const account of accounts)
    for (const [reason, count] of Object.entries(checkAccount(account, location).dropped))
      dropped.set(reason, (dropped.get(reason) ?? 0) + count);
  const sum = (of: (account: AccountCounts) => number): number => accounts.reduce((total, account) => total + of(account), 0);
  const errors = accounts.flatMap((account) => account.errors);
  const merged = { in: sum((a) => a.in), out: sum((a) => a.out), dropped: sorted(dropped), bytes: sum((a) => a.bytes), errors };
  return checkAccount(merged, location);
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
