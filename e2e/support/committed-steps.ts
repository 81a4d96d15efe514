import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "./cli.js";

/** A committed step of a run. */
export interface CommittedStep {
  readonly step: number;
  readonly digest: string;
  readonly loss: number;
}

/** The committed steps of a run, from its step log. */
export const committedSteps = (home: Home, run: string): CommittedStep[] =>
  readFileSync(join(home.state, "runs", run, "ledger.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { value?: unknown })
    .map((line) => (line.value ?? line) as Partial<CommittedStep>)
    .filter((line): line is CommittedStep => line.digest !== undefined && line.loss !== undefined);

export const checkpointOf = (home: Home, run: string, step: number): string => join(home.state, "runs", run, "checkpoints", `step-${step}`);

/** The digest of each step of a run; the last one of a step that was computed again. */
export const lastDigests = (home: Home, run: string): (readonly [number, string])[] => [
  ...new Map(committedSteps(home, run).map(({ step, digest }) => [step, digest])),
];
