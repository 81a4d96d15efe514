import type { ErrorJSON } from "@lapidary/std";
import type { CallRequest, Evaluation, ProgramResult, UpdateRequest } from "./definition.js";

/** What the thread of a controller needs to load it. */
export interface ControllerData {
  readonly path: string;
  readonly hash: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly batch: number;
  readonly seq: number;
}

/** What a controller asks of the run. */
export type ControllerRequest =
  | { readonly op: "call"; readonly program: string; readonly request: CallRequest }
  | { readonly op: "update"; readonly request: UpdateRequest }
  | { readonly op: "evaluate"; readonly batches: number };

export type ControllerAnswer = ProgramResult | Readonly<Record<string, number>> | Evaluation;

export type ToController =
  | { readonly kind: "step"; readonly step: number; readonly batch: number }
  | { readonly kind: "evaluate"; readonly batches: number }
  | { readonly kind: "answer"; readonly id: number; readonly value: ControllerAnswer }
  | { readonly kind: "refusal"; readonly id: number; readonly error: ErrorJSON };

export type FromController =
  | { readonly kind: "ready" }
  | { readonly kind: "request"; readonly id: number; readonly request: ControllerRequest }
  | { readonly kind: "event"; readonly name: string; readonly values: Readonly<Record<string, number | string>> }
  | { readonly kind: "done"; readonly value: Evaluation | Readonly<Record<string, number>> | undefined }
  | { readonly kind: "failed"; readonly error: ErrorJSON };
