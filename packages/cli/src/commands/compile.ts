import { resolve } from "node:path";
import {
  compileForTpu as compileStep,
  compileStepForTpu,
  findTpuCompiler,
  installTpuCompiler,
  tpuCompilerNotice,
} from "@lapidary/offline/compile";
import { isStepFile } from "@lapidary/offline/is-step-file";
import { exportedAttention } from "@lapidary/offline/job-file";
import { doesNotFitText, tpuCompilerText } from "@lapidary/report/tpu-compiler-text";
import { ExitCode, LapidaryError } from "@lapidary/std";
import type { Context } from "../context.js";
import { agrees } from "../terminal/agrees.js";
import { checkOutput } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import { readJob } from "./job-file.js";

export interface CompileRequest {
  readonly job: string | undefined;
  readonly overrides: readonly string[];
  readonly chip: string | undefined;
  /** The module: `whole` (default), the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
  readonly text: string | undefined;
  /** The output file for the optimized program. */
  readonly hlo: string | undefined;
  readonly install: boolean;
  /** The user agrees to the licence, without a question. */
  readonly yes: boolean;
}

/** `lapidary compile JOB`: compiles the step of a job, or one that JAX exported, with Google's TPU compiler and compares it with Lapidary's plan. Needs no TPU. */
export async function compileForTpu(context: Context, request: CompileRequest): Promise<ExitCode> {
  const { console, cwd, clock, env } = context;
  if (request.install) await install(context, request.yes);
  if (request.job === undefined) {
    if (request.install) return ExitCode.done;
    throw new LapidaryError({
      code: "LAP_CLI_ARGUMENT",
      message: "the job file is missing",
      location: "lapidary compile",
      remedy: "give a job file, such as configs/jobs/nano16.yaml, or the text of a step",
    });
  }
  const { job: file, overrides: words, chip } = request;
  const job = isStepFile(file) ? undefined : await readJob(context, file, words);
  for (const warning of job === undefined ? [] : exportedAttention(job)) console.warn(warning);
  const hlo = request.hlo === undefined ? undefined : resolve(cwd, request.hlo);
  if (hlo !== undefined) checkOutput({ kind: "file", path: hlo, what: "the optimized program" });
  const text = request.text === "chip" ? "chip" : "whole";
  const reporter = consoleReporter(console);
  try {
    const more = { chip, text, hlo, env } as const;
    const step = await (job === undefined
      ? compileStepForTpu({ file, words, ...more }, context, clock, reporter)
      : compileStep({ job, ...more }, context, clock, reporter));
    reporter.end();
    for (const warning of step.warnings) console.warn(warning);
    console.result(step.report, () => tpuCompilerText(step, console.paint));
    if (step.report.fits) return ExitCode.done;
    if (console.options.json) console.warn(doesNotFitText(step));
    return ExitCode.doesNotFit;
  } finally {
    reporter.end();
  }
}

/** Asks once, and installs the compiler or repairs its installation. */
async function install({ console, root, env, attended, interrupts }: Context, yes: boolean): Promise<void> {
  const installed = await findTpuCompiler(root, env).catch((error: unknown) => {
    if (error instanceof LapidaryError && ["LAP_TPU_NOT_INSTALLED", "LAP_TPU_DAMAGED"].includes(error.code)) return error;
    throw error;
  });
  if (typeof installed === "string") return console.say(`the TPU compiler is installed: ${installed}`);
  // A damaged installation was agreed to before.
  if (installed.code === "LAP_TPU_NOT_INSTALLED") {
    console.say(tpuCompilerNotice());
    if (!yes && !(attended && (await agrees("Do you agree, and install it?", interrupts.signal))))
      throw new LapidaryError({
        code: "LAP_TPU_CONSENT",
        message: "the TPU compiler is not installed without the user's consent",
        location: "lapidary compile --install",
      });
  }
  console.say(await installTpuCompiler(root, env, (line) => console.say(line)));
}
