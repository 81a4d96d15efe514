import type { Context } from "../context.js";

/** A second Ctrl-C within this time cancels the job. */
const cancelWithinMs = 2000;

/** What a command follows. */
interface Followed {
  /** `run a-1`, `pipeline two-stage-1` */
  readonly what: string;
  /** The run whose log shows the end of the work. */
  readonly last: string;
  readonly cancel: () => Promise<unknown>;
}

/**
 *     Ctrl-C          detached: the work continues, the command ends in two seconds
 *     Ctrl-C again    the work is cancelled, the command waits until it is
 */
export async function withCtrlC<T>(
  { console, interrupts }: Context,
  { what, last, cancel }: Followed,
  follow: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const listening = new AbortController();
  const cancelling: Promise<unknown>[] = [];
  let detaching: NodeJS.Timeout | undefined;
  const release = interrupts.takeOver((signal) => {
    if (signal !== "SIGINT") {
      listening.abort();
    } else if (detaching === undefined) {
      console.say(`detached: ${what} continues. Follow it with \`lapidary logs -f ${last}\`; Ctrl-C again within two seconds cancels it`);
      detaching = setTimeout(() => listening.abort(), cancelWithinMs);
    } else if (cancelling.length === 0) {
      clearTimeout(detaching);
      console.say(`cancelling ${what}`);
      cancelling.push(cancel());
    } else {
      console.say(`no longer waiting: ${what} is being cancelled`);
      listening.abort();
    }
  });
  try {
    const ending = await follow(listening.signal);
    await Promise.all(cancelling);
    return ending;
  } finally {
    clearTimeout(detaching);
    release();
  }
}
