import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: commands, exports and comparisons. */
export const cliErrors = {
  LAP_CLI_COMMAND: { exit: ExitCode.usage, recoverable: false, summary: "The command does not exist." },
  LAP_CLI_OPTION: { exit: ExitCode.usage, recoverable: false, summary: "An option does not exist, or has no value." },
  LAP_CLI_ARGUMENT: { exit: ExitCode.usage, recoverable: false, summary: "An argument is missing, superfluous or invalid." },
  LAP_CLI_CHECKS: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The checks of `lapidary doctor` cannot be loaded.",
    remedy: "get the file back with `git checkout tools/setup`",
  },
  LAP_CLI_INTERNAL: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The command failed because of an internal error.",
    remedy: "this is a bug of Lapidary: run the command again with -v, and report what it prints",
  },
  LAP_CLI_INTERRUPTED: {
    exit: ExitCode.interrupted,
    recoverable: false,
    summary: "The user interrupted the command.",
    remedy: "run the command again",
  },
  LAP_CLI_NOT_BUILT: { exit: ExitCode.other, recoverable: false, summary: "The project is not built." },
  LAP_TRACE_NO_STEPS: { exit: ExitCode.notFinished, recoverable: false, summary: "The run has not recorded a step." },
  LAP_COMPARE_FAILED: { exit: ExitCode.other, recoverable: false, summary: "The reference backend failed." },
  LAP_COMPARE_JAX: { exit: ExitCode.other, recoverable: false, summary: "JAX cannot be installed." },
  LAP_EXPORT_OP: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "An op has no counterpart in StableHLO.",
    remedy: "export a train or evaluation step, which exports the initial states as values or as an init spec",
  },
  LAP_EXPORT_INIT: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The initial value of a tensor cannot be exported.",
    remedy: "draw initial states with rng_normal or zeros",
  },
  LAP_EXPORT_OUTPUT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The output directory cannot be written, or contains other files.",
    remedy: "give a new directory, or an earlier export",
  },
  LAP_TPU_NOT_INSTALLED: { exit: ExitCode.usage, recoverable: false, summary: "The TPU compiler is not installed." },
  LAP_TPU_DAMAGED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The installation of the TPU compiler is incomplete, or has another version.",
    remedy: "run `lapidary compile --install`: it replaces the installation",
  },
  LAP_TPU_CONSENT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The user has not agreed to the installation of the TPU compiler.",
    remedy: "run `lapidary compile --install` in a terminal and answer `yes`, or add --yes in a script",
  },
  LAP_TPU_INSTALL: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The TPU compiler cannot be installed.",
    remedy: "read the messages above, then run the command again: it continues from what it has downloaded",
  },
  LAP_TPU_TOPOLOGY: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The TPU compiler does not know the slice, or the program is for another one.",
  },
  LAP_TPU_COMPILE: { exit: ExitCode.other, recoverable: false, summary: "The TPU compiler rejects the program." },
} as const satisfies ErrorTable;
