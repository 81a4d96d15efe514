import { LapidaryError } from "@lapidary/std";

export function alreadyUp(home: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_ALREADY_UP",
    message: `a coordinator is already up for this directory: ${why}`,
    location: home,
    remedy: "use it (`lapidary status`), or stop it first with `lapidary down`",
  });
}

/** As `alreadyUp`, where commands of this machine or container cannot stop it. */
export function usedElsewhere(home: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_ALREADY_UP",
    message: `a coordinator is already up for this directory: ${why}`,
    location: home,
    remedy:
      "run `lapidary down` on that machine or in that container, or name another directory with --home or LAPIDARY_HOME; if this directory is a copy of the other, remove its identity.json",
  });
}
