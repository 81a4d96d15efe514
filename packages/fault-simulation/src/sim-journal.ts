import type { Random } from "@lapidary/std";

/** An entry of the journal of a simulated run. */
export type JournalEntry =
  /** A committed step. `workers` computed it. */
  | { readonly kind: "row"; readonly step: number; readonly loss: number; readonly workers: number }
  | { readonly kind: "eval"; readonly step: number; readonly loss: number }
  /** Another layout computes the steps after this one anew. */
  | { readonly kind: "rewind"; readonly step: number };

/** The journal of a run, which outlives coordinators. A power cut loses entries that were not synced. */
export class SimJournal {
  readonly entries: JournalEntry[] = [];
  #synced = 0;

  /** The last step whose row is in the journal. */
  get lastStep(): number {
    const last = this.entries.findLast(({ kind }) => kind !== "eval");
    return last?.step ?? 0;
  }

  get evaluated(): number[] {
    return this.entries.flatMap((entry) => (entry.kind === "eval" ? [entry.step] : []));
  }

  add(entry: JournalEntry): void {
    this.entries.push(entry);
  }

  sync(): void {
    this.#synced = this.entries.length;
  }

  cutPower(random: Random): void {
    this.entries.length = this.#synced + random.integer(this.entries.length - this.#synced + 1);
  }

  /** For each step, from 1: the number of workers that computed it. */
  workersBySteps(): number[] {
    const workers: number[] = [];
    for (const entry of this.entries) {
      if (entry.kind === "rewind") workers.length = entry.step;
      if (entry.kind === "row") workers[entry.step - 1] = entry.workers;
    }
    return workers;
  }
}
