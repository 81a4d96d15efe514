import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { openHome } from "@lapidary/api/home-directory";
import { readJobFile } from "@lapidary/offline/job-file";
import { planPrograms, type PlanSubject, planStep, planSubject, searchPlansOf } from "@lapidary/offline/plan";
import { ensure, ExitCode, jsonText } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { checkOutput, writeOutputFile } from "../output/output.js";
import { fitLines, planText, removeRepetition, searchText } from "@lapidary/report/plan-text";
import { plannedStepText } from "@lapidary/report/step-file-text";
import { isStepFile } from "@lapidary/offline/is-step-file";
import { programsText } from "@lapidary/report/programs-text";
import type { Console } from "../terminal/console.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import { makePaint } from "@lapidary/report/paint";
import { readJob } from "./job-file.js";

export interface PlanRequest {
  readonly job: string;
  readonly overrides: readonly string[];
  /** `table` (default), `json` or `html`. */
  readonly output: string | undefined;
  readonly search: boolean;
  /** The file for the best plan of a search. */
  readonly write: string | undefined;
  /** The file for the plan as a page. */
  readonly html: string | undefined;
  readonly chip: string | undefined;
  /** A program of the job: only that one is planned, in detail. */
  readonly program: string | undefined;
}

/** Compiles a job and times its step on a model of the chips. Nothing runs. The exit code is 4 if the step does not fit in their memory. */
export async function plan(context: Context, request: PlanRequest): Promise<ExitCode> {
  const { console } = context;
  optimizeLater();
  if (request.write !== undefined && !request.search)
    throw argumentError(
      "--write names the file for the best plan of a search, and nothing is searched",
      "--write",
      "add --search, or leave --write out",
    );
  if (request.html !== undefined && request.search)
    throw argumentError("--html writes one plan, and --search compares many", "--html", "leave one of them out");
  if (isStepFile(request.job)) return planImported(context, request);
  const job = await readJob(context, request.job, request.overrides);
  if (request.write !== undefined) checkOutput({ kind: "file", path: resolve(context.cwd, request.write), what: "the job file" });
  const read: PlanSubject["read"] = (more) => readJobFile(context, request.job, [...request.overrides, ...more]).job;
  const file = request.html === undefined ? undefined : resolve(context.cwd, request.html);
  if (file !== undefined) checkOutput({ kind: "file", path: file, what: "the page" });
  const subject = planSubject({ job, read }, context.root, request.chip);
  for (const warning of subject.warnings) console.warn(warning);
  if (request.search) return searchAndReport(context, request, subject);
  const reporter = consoleReporter(console);
  const isPage = file !== undefined || (request.output === "html" && !console.options.json);
  const all = request.program === undefined && !isPage ? planPrograms(subject, reporter) : undefined;
  const one = all === undefined ? planStep(subject, reporter, request.program) : undefined;
  reporter.end();
  if (file !== undefined) writeOutputFile(file, "the page", ensure(one, "plan").page());
  const planned = all ?? ensure(one, "plan");
  const { report, budget, advice } = planned;
  const fit = { advice, repeats: subject.repeats };
  const value = {
    job: job.name,
    ...(request.program === undefined ? {} : { program: request.program }),
    ...report,
    budget,
    program_hash: planned.programHash,
    ...(one === undefined
      ? {}
      : {
          loss_chunks: one.lossChunks,
          other_attention: one.otherAttention ?? null,
          microbatches: one.microbatches ?? null,
          pipeline: one.pipeline ?? null,
          experts: one.experts ?? null,
          context: one.context ?? null,
        }),
    ...(report.fits ? {} : { advice }),
    warnings: subject.warnings,
  };
  show(console, request.output, value, {
    table: () => (all === undefined ? planText(ensure(one, "plan"), fit, console.paint) : programsText(all, fit, console.paint)),
    html: () => one?.page() ?? "",
  });
  if (report.fits) return ExitCode.done;
  if (console.options.json || (request.output ?? "table") !== "table")
    console.warn(fitLines(report, fit, makePaint(false)).join("").trim());
  return ExitCode.doesNotFit;
}

/**
 * V8 optimizes a function after it has run this many bytes of bytecode, about 15 times later than by default. A plan runs most functions for a
 * few seconds only: optimizing them takes a quarter of the processor time of the plan of gemma-7b, which is more than the optimized code saves.
 */
const optimizeLater = (): void => setFlagsFromString("--interrupt-budget=1000000");

/** Times a step that JAX exported. */
async function planImported(context: Context, { job, overrides, chip, output, html, search, program }: PlanRequest): Promise<ExitCode> {
  const { console } = context;
  if (search || program !== undefined || output === "html" || html !== undefined)
    throw argumentError(
      `${search ? "--search" : program !== undefined ? "--program" : html !== undefined ? "--html" : "-o html"} needs a job file, and ${job} is the text of a step`,
      job,
      "plan the step without it; its text states the mesh and the shardings",
    );
  const { compileStepFile, planStepFile } = await import("@lapidary/offline/step-file");
  const subject = compileStepFile(job, context.cwd, overrides);
  const { report, warnings, shards } = planStepFile(subject, context.root, chip);
  for (const warning of warnings) console.warn(warning);
  show(
    console,
    output,
    { job: subject.name, ...report, shards, warnings },
    { table: () => plannedStepText(report, console.paint), html: () => "" },
  );
  return report.fits ? ExitCode.done : ExitCode.doesNotFit;
}

/** `--json` has precedence over `-o`. */
function show(
  console: Console,
  form: string | undefined,
  value: unknown,
  texts: { readonly table: () => string; readonly html: () => string },
): void {
  console.result(value, () => (form === "json" ? jsonText(value, 2) : form === "html" ? texts.html() : texts.table()));
}

async function searchAndReport(context: Context, request: PlanRequest, subject: PlanSubject): Promise<ExitCode> {
  const { console } = context;
  const { job, warnings } = subject;
  const reporter = consoleReporter(console);
  const { plans, best } = await searchPlansOf(subject, context.clock, reporter);
  reporter.end();
  const file = best === undefined ? undefined : writeJob(context, request.write, job.name, best.jobFile);
  const value = { job: job.name, plans, best: best?.overrides ?? null, file: file ?? null, warnings };
  show(console, request.output === "html" ? "table" : request.output, value, {
    table: () => searchText(plans, file, console.paint),
    html: () => "",
  });
  if (best !== undefined) return ExitCode.done;
  console.warn(`none of the plans that were tried fits: ${warnings.length > 0 ? removeRepetition : "take more chips or a smaller batch"}`);
  return ExitCode.doesNotFit;
}

/** Writes to the path of the user, with the permissions of the user's umask; or into the state directory, which other users cannot read. */
function writeJob({ console, cwd, home }: Context, path: string | undefined, name: string, jobFile: string): string {
  const file = path === undefined ? join(home, "plans", `${name}.yaml`) : resolve(cwd, path);
  if (path === undefined) for (const warning of openHome(home)) console.warn(warning);
  writeOutputFile(file, "the job file", jobFile);
  return file;
}
