import { join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { openHome } from "@lapidary/api/home-directory";
import { calibrationWarning, type Machine, planHtml } from "@lapidary/simulator";
import { ExitCode, jsonText, type Warning } from "@lapidary/std";
import { chipCount } from "@lapidary/topology";
import { printJob, type ResolvedJob, shardingFindings } from "@lapidary/training";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { adviseFit } from "../plan/fit-advice.js";
import { budgetOf, machineOf, planJob, programHash } from "../plan/plan-job.js";
import { fitLines, mendFirst, planText, searchText } from "../plan/plan-text.js";
import { overridesOf, searchJob } from "../plan/search-job.js";
import { checkOutput, writeOutputFile } from "../output/output.js";
import type { Console } from "../terminal/console.js";
import { makePaint } from "../terminal/paint.js";
import { readJob } from "./job-file.js";

export interface PlanRequest {
  readonly job: string;
  readonly overrides: readonly string[];
  /** `table` (default), `json` or `html`. */
  readonly output: string | undefined;
  readonly search: boolean;
  /** Where the best plan of a search is written. */
  readonly write: string | undefined;
  readonly chip: string | undefined;
}

/** Compiles a job and times its step on a model of the chips; nothing runs. Exit code 4 where it does not fit in their memory. */
export async function plan(context: Context, request: PlanRequest): Promise<ExitCode> {
  const { console } = context;
  if (request.write !== undefined && !request.search)
    throw argumentError(
      "--write names the file for the best plan of a search, and nothing is searched",
      "--write",
      "add --search, or leave --write out",
    );
  const job = readJob(context, request.job, request.overrides);
  if (request.write !== undefined) checkOutput({ kind: "file", path: resolve(context.cwd, request.write), what: "the job file" });
  const machine = machineOf(job, context.root, request.chip);
  const read = (more: readonly string[]): ResolvedJob => readJob(context, request.job, [...request.overrides, ...more]);
  const findings = shardingFindings(job);
  const repeats = findings.map(({ warning }) => warning);
  const uncalibrated = calibrationWarning(machine.chip);
  const warnings = uncalibrated === undefined ? repeats : [...repeats, uncalibrated];
  for (const warning of warnings) console.warn(warning);
  if (request.search) return searchAndReport(context, request, job, machine, read, warnings);
  const progress = console.progress();
  progress.update("compile and time the step");
  const planned = planJob(job, machine);
  const { report, simulation } = planned;
  if (!report.fits) progress.update("try what would make it fit");
  const advice = report.fits
    ? []
    : adviseFit(
        job,
        planned,
        machine,
        read,
        findings.flatMap(({ fixes }) => fixes.slice(0, 1)),
      );
  progress.end();
  const budget = budgetOf(job, report);
  const fit = { advice, repeats: repeats.length > 0 };
  const value = { job: job.name, ...report, budget, program_hash: programHash(simulation), ...(report.fits ? {} : { advice }), warnings };
  show(console, request.output, value, {
    table: () => planText({ simulation, report }, budget, fit, console.paint),
    html: () =>
      planHtml(simulation, report, { title: job.name, tokens: budget.tokens, days: budget.days, chipHours: budget.chip_hours, warnings }),
  });
  if (report.fits) return ExitCode.done;
  if (console.options.json || (request.output ?? "table") !== "table")
    console.warn(fitLines(report, fit, makePaint(false)).join("").trim());
  return ExitCode.doesNotFit;
}

/** `--json` goes before `-o`. */
function show(
  console: Console,
  form: string | undefined,
  value: unknown,
  texts: { readonly table: () => string; readonly html: () => string },
): void {
  console.result(value, () => (form === "json" ? jsonText(value, 2) : form === "html" ? texts.html() : texts.table()));
}

/** Plans that a search tries: at two small models a plan, half a minute for 7B on a core of its own. */
const searchBudget = 48;
/** On a busy machine it stops with what it has. */
const searchForMs = 40_000;
/** The best of them are compiled whole. */
const compiledWhole = 2;

async function searchAndReport(
  context: Context,
  request: PlanRequest,
  job: ResolvedJob,
  machine: Machine,
  read: (more: readonly string[]) => ResolvedJob,
  warnings: readonly Warning[],
): Promise<ExitCode> {
  const { console } = context;
  const progress = console.progress();
  const chips = chipCount(machine.torus);
  const until = context.clock.monotonic() + searchForMs;
  const ranked = await searchJob({
    job,
    machine,
    read,
    budget: searchBudget,
    onProgress: async (tried, budget, best) => {
      progress.update("search", `${tried} of at most ${budget} plans tried${best === "" ? "" : `, best so far ${best}`}`);
      await setImmediate();
      return context.clock.monotonic() < until;
    },
  });
  progress.update("compile the best plans whole");
  const plans = ranked.map((plan, i) => {
    const overrides = overridesOf(plan.plan, job, chips);
    const exact = i < compiledWhole ? planJob(read(overrides), machine).report : undefined;
    const scale = job.train.batch / plan.plan.batch;
    return {
      overrides,
      ...plan.plan,
      /** For the tokens of the job's own step. */
      time_s: exact === undefined ? plan.seconds : exact.step_time_s * scale,
      hbm_bytes_peak: exact?.hbm_bytes.peak ?? plan.hbmBytes,
      fits: exact?.fits ?? plan.fits,
      pareto: plan.pareto,
      compiled_whole: exact !== undefined,
      ...(exact === undefined ? {} : { mfu: exact.mfu, step_time_s: exact.step_time_s }),
    };
  });
  progress.end();
  const best = plans.filter(({ fits }) => fits).sort((a, b) => a.time_s - b.time_s)[0];
  const file = best === undefined ? undefined : writeJob(context, request.write, read(best.overrides));
  const value = { job: job.name, plans, best: best?.overrides ?? null, file: file ?? null, warnings };
  show(console, request.output === "html" ? "table" : request.output, value, {
    table: () => searchText(plans, file, console.paint),
    html: () => "",
  });
  if (best !== undefined) return ExitCode.done;
  console.warn(`none of the plans that were tried fits: ${warnings.length > 0 ? mendFirst : "take more chips or a smaller batch"}`);
  return ExitCode.doesNotFit;
}

/** Writes where the user says, with the permissions of the user's umask; otherwise below the home directory, closed to others. */
function writeJob({ console, cwd, home }: Context, path: string | undefined, job: ResolvedJob): string {
  const place = path === undefined ? join(home, "plans", `${job.name}.yaml`) : resolve(cwd, path);
  if (path === undefined) for (const warning of openHome(home)) console.warn(warning);
  writeOutputFile(place, "the job file", printJob(job));
  return place;
}
