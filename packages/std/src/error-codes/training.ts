import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: training, recovery and sampling. */
export const trainingErrors = {
  LAP_LOSS_NOT_FINITE: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The loss or a gradient is NaN or infinite.",
    remedy: "lower train.optimizer.lr, lengthen train.schedule.warmup, or set train.clip",
  },
  LAP_LOSS_SPIKE: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The loss is far above the mean of the steps before.",
    remedy: "look at the batch; raise train.guard.spike if such losses are to be learnt from",
  },
  LAP_STEP_FAILS: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The same step failed too often.",
    remedy:
      "`lapidary logs RUN` shows what the workers say; if they run out of memory lower train.batch, or give the job more workers. `lapidary jobs resume RUN` goes on after the last checkpoint",
  },
  LAP_RECOVERY_FAILS: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "Too many consecutive recovery attempts failed.",
    remedy: "run `lapidary doctor`; `lapidary jobs resume RUN` goes on after the last checkpoint",
  },
  LAP_REPLAY_DIFFERS: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "A recomputed step had another result than the first time.",
    remedy:
      "memory or a disk may be faulty, or the corpus has changed; `lapidary jobs resume RUN workers=1` computes the steps after the last checkpoint anew",
  },
  LAP_RL_SAMPLER_GAP: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The log-probabilities of the sampler are not those of the trainer.",
    remedy: "report it: both compute the same function. If numerics are bf16, raise the bound of the gap",
  },
  LAP_RL_KL: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The policy is too far from the reference.",
    remedy: "raise beta, lower train.optimizer.lr, or raise the bound of the KL",
  },
  LAP_RL_REFERENCE: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The policy and the reference differ before the first update.",
    remedy: "initialize policy and reference from one checkpoint",
  },
  LAP_RL_CUT_OFF: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "No answer of a rollout ended, so that no answer is better than another.",
    remedy: "raise the number of new tokens, mask cut-off answers, or fine-tune the policy on answers that end",
  },
  LAP_EPOCH_STALE: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "A newer attempt has taken over the files of the run.",
    remedy: "another coordinator runs this job: stop one of them",
  },
  LAP_LEDGER_WRITE: { exit: ExitCode.jobFailed, recoverable: false, summary: "The step log cannot be written." },
  LAP_JOURNAL_WRITE: { exit: ExitCode.jobFailed, recoverable: false, summary: "The journal of the run cannot be written." },
  LAP_RUN_LOST: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "The files of the run are missing.",
    remedy: "launch the job again",
  },
  LAP_RUNS_UNWRITABLE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The directory of runs cannot be written.",
    remedy: "check its permissions, or choose another home with LAPIDARY_HOME",
  },
  LAP_SAMPLE_NAN: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The model gives a logit that is NaN.",
    remedy: "sample from an earlier checkpoint, or train with a lower learning rate or with train.clip",
  },
  LAP_FAILPOINT: {
    exit: ExitCode.other,
    recoverable: true,
    summary: "A failpoint of a test caused this failure.",
    remedy: "unset LAPIDARY_FAILPOINTS",
  },
  LAP_FAILPOINT_TEXT: { exit: ExitCode.usage, recoverable: false, summary: "A failpoint cannot be parsed." },
} as const satisfies ErrorTable;
