import { LapidaryError } from "@lapidary/std";

export function alreadyUp(home: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_ALREADY_UP",
    message: `a coordinator is already up for this directory: ${why}`,
    place: home,
    remedy: "use it (`lapidary status`), or stop it first with `lapidary down`",
  });
}

/** As `alreadyUp`, for a coordinator that commands of this machine or container cannot stop. */
export function usedElsewhere(home: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_ALREADY_UP",
    message: `a coordinator is already up for this directory: ${why}`,
    place: home,
    remedy:
      "run `lapidary down` on that machine or in that container, or name another directory with --home or LAPIDARY_HOME; if this directory is a copy of the other, remove its identity.json",
  });
}

/** The error of a run that ended because its coordinator was stopped. */
export function coordinatorStopped(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_STOPPED",
    message: "coordinator stopped",
    place: id,
    remedy: `\`lapidary jobs resume ${id}\` resumes it after its last checkpoint`,
  });
}
