import { RequestError } from "./source.js";

const busyMs = 1000;
const idleMs = 5000;

/**
 * Requests a state again and again: each second while it changes, else every five seconds.
 *
 * @param onValue returns whether the state changes now
 * @returns stops it
 */
export function poll<T>(ask: () => Promise<T>, onValue: (value: T) => boolean, onError: (error: RequestError) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  const next = async (): Promise<void> => {
    let isBusy = false;
    try {
      const value = await ask();
      if (!isStopped) isBusy = onValue(value);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (!isStopped) onError(error);
    }
    if (!isStopped) timer = setTimeout(() => void next(), isBusy ? busyMs : idleMs);
  };
  void next();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
