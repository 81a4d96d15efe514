import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { jsonText } from "@lapidary/std";
import type { CallName, RunReport } from "@lapidary/protocol";
import { z } from "zod";

export type { CallName };

/**
 * `step-traces.jsonl` of a run's directory: every call of some steps, as recorded by the workers. A line `program` names the calls of the `step` lines
 * after it; an attempt begins with such a line. No decision depends on the file.
 */
export const stepTracesFile = (directory: string): string => join(directory, "step-traces.jsonl");

const callSchema = z.object({
  kind: z.enum(["product", "kernel", "fused", "start", "finish"]),
  op: z.string(),
  name: z.string(),
  phase: z.string(),
  block: z.number().optional(),
  joins: z.number().optional(),
});
const lineSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("program"), calls: z.array(callSchema) }),
  z.object({
    kind: z.literal("step"),
    step: z.number(),
    /** By worker: `began_ms` of a clock that all workers share, and three numbers per call in microseconds: start, duration, time of waiting. */
    workers: z.array(z.object({ began_ms: z.number(), calls_us: z.array(z.number()) })),
  }),
]);

/** A recorded step. */
export const stepTraceSchema = z.object({
  step: z.number(),
  calls: z.array(callSchema),
  workers: z.array(z.object({ began_ms: z.number(), calls_us: z.array(z.number()) })),
});
export interface StepTrace {
  readonly step: number;
  readonly calls: readonly CallName[];
  readonly workers: readonly { readonly began_ms: number; readonly calls_us: readonly number[] }[];
}

/** The numbers of the recorded steps of a run, and the newest one up to `wanted`. Only that step is parsed. */
export function stepTraceAt(directory: string, wanted = Number.MAX_SAFE_INTEGER): { steps: number[]; trace: StepTrace | null } {
  const all = recordedSteps(directory);
  const upTo = all.findLastIndex(({ step }) => step <= wanted);
  // If the line of a step is damaged, take the nearest step with a readable line.
  const order = [...all.slice(0, upTo + 1).reverse(), ...all.slice(upTo + 1)];
  for (const recorded of order) {
    const trace = traceOf(recorded);
    if (trace !== undefined) return { steps: all.map(({ step }) => step), trace };
  }
  return { steps: [], trace: null };
}

/** The maximum number of recorded steps of a run. Later steps are not recorded. */
const mostStepTraces = 1000;

/** Selects the recorded steps of a run: one in `every`, and an early one after code is compiled and buffers are allocated. 0 records none. */
export const isTraced = (step: number, every: number, steps: number): boolean =>
  every > 0 && (step % every === 0 || step === Math.min(3, steps));

export class StepTraceLog {
  readonly #path: string;
  #left: number;

  constructor(directory: string, calls: readonly CallName[]) {
    this.#path = stepTracesFile(directory);
    this.#left = mostStepTraces - recordedSteps(directory).length;
    if (this.#left > 0) this.#append({ kind: "program", calls: [...calls] });
  }

  /** Appends a train step, which workers number from 0. A report without a trace is ignored. */
  append({ step, workers }: Pick<RunReport, "step" | "workers">): void {
    const traces = workers.flatMap(({ trace }) => (trace === undefined ? [] : [trace]));
    if (traces.length === 0 || traces.length < workers.length || this.#left-- <= 0) return;
    this.#append({
      kind: "step",
      step: step + 1,
      workers: traces.map(({ began_ms, calls_us }) => ({ began_ms, calls_us: [...calls_us] })),
    });
  }

  #append(line: z.infer<typeof lineSchema>): void {
    appendFileSync(this.#path, `${jsonText(line)}\n`, { mode: 0o600 });
  }
}

/** The recorded steps of a run, by step. Of a repeated step, the last record counts. Damaged lines are skipped. */
export function readStepTraces(directory: string): StepTrace[] {
  return recordedSteps(directory).flatMap((recorded) => traceOf(recorded) ?? []);
}

/** An unparsed line of a step, and the line of the program that names its calls. */
interface RecordedStep {
  readonly step: number;
  readonly text: string;
  readonly program: string;
}

function recordedSteps(directory: string): RecordedStep[] {
  const path = stepTracesFile(directory);
  const found = new Map<number, RecordedStep>();
  let program = "";
  for (const text of existsSync(path) ? readFileSync(path, "utf8").split("\n") : []) {
    const [, kind, step] = /^\{"kind":"(?:(program)"|step","step":(\d+))/.exec(text) ?? [];
    if (kind !== undefined) program = text;
    if (step !== undefined && text.endsWith("}")) found.set(Number(step), { step: Number(step), text, program });
  }
  return [...found.values()].sort((a, b) => a.step - b.step);
}

function traceOf({ text, program }: RecordedStep): StepTrace | undefined {
  const line = lineSchema.safeParse(parsed(text)).data;
  const names = lineSchema.safeParse(parsed(program)).data;
  if (line?.kind !== "step" || names?.kind !== "program") return undefined;
  const calls = names.calls.map(({ joins, block, ...rest }) => ({
    ...rest,
    ...(block === undefined ? {} : { block }),
    ...(joins === undefined ? {} : { joins }),
  }));
  return line.workers.every(({ calls_us }) => calls_us.length === 3 * calls.length)
    ? { step: line.step, calls, workers: line.workers }
    : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
