import { assert } from "@lapidary/std";

declare const brand: unique symbol;

/** A number or string of one kind. TypeScript refuses one of another kind. */
export type Branded<Base extends number | string, Kind extends string> = Base & { readonly [brand]: Kind };

/** The fence number of an attempt of a run. It only increases. */
export type Epoch = Branded<number, "epoch">;
/** The number of a worker in its worker group, from 0. */
export type WorkerRank = Branded<number, "worker">;
/** The number of a step, from 0: the count of updates before it. */
export type StepIndex = Branded<number, "step">;
/** How many updates a state has had. After step n it has had n + 1. */
export type UpdateCount = Branded<number, "updates">;
/** The number of a message on its channel. */
export type MessageId = Branded<number, "message">;
/** The id of an array that workers hold. All workers of a group use the same id for their blocks. The coordinator chooses it. */
export type Handle = Branded<string, "handle">;
/** Hash of a program's text. */
export type ProgramHash = Branded<string, "program">;

const countAs =
  <Kind extends string>(kind: Kind) =>
  (value: number): Branded<number, Kind> => {
    assert(Number.isSafeInteger(value) && value >= 0, `a number of kind "${kind}" is a count`, value);
    return value as Branded<number, Kind>;
  };

const textAs =
  <Kind extends string>() =>
  (value: string): Branded<string, Kind> =>
    value as Branded<string, Kind>;

export const epochOf = countAs("epoch");
export const workerRank = countAs("worker");
export const stepIndex = countAs("step");
export const updateCount = countAs("updates");
export const messageId = countAs("message");
export const handleOf = textAs<"handle">();
export const programHash = textAs<"program">();

/** Updates that a state has had after a step. */
export const updatesAfter = (step: StepIndex): UpdateCount => updateCount(step + 1);

/** The ranks of a group of `workers`, ascending. */
export const ranksOf = (workers: number): WorkerRank[] => Array.from({ length: workers }, (_, rank) => workerRank(rank));
