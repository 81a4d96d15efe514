import { ExitCode, LapidaryError } from "@lapidary/std";

export function alreadyUp(home: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_ALREADY_UP",
    message: `a coordinator is already up for this directory: ${why}`,
    place: home,
    remedy: "use it (`lapidary status`), or stop it first with `lapidary down`",
  });
}

/** Why a run that was under way when its coordinator ended did not go on. */
export function coordinatorStopped(id: string, how: "stopped" | "died"): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_STOPPED",
    message: how === "stopped" ? "coordinator stopped" : "the coordinator ended without a word while the job ran",
    place: id,
    remedy: "launch it again; `train.init` can begin from its last checkpoint",
    exit: how === "stopped" ? ExitCode.cancelled : ExitCode.jobFailed,
  });
}
