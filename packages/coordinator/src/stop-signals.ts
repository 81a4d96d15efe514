/** When the coordinator ends, a job has this time to finish its steps in flight and to write a checkpoint. */
const drainTimeout_ms = 8000;

/**
 * The signals that end a run. `cancel` aborts the run immediately. `stop` means that the coordinator ends: a run that trains drains, which means
 * that it finishes the steps in flight and writes a checkpoint, and is aborted after `drainTimeout_ms`. Any other run is aborted immediately.
 */
export function stopSignals(
  cancel: AbortSignal,
  stop: AbortSignal,
  { trains, onDrain }: { readonly trains: () => boolean; readonly onDrain: () => void },
): { readonly abort: AbortSignal; readonly drain: AbortSignal; readonly clear: () => void } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const stopping = (): void => {
    if (!trains()) return late.abort(stop.reason);
    onDrain();
    timer = setTimeout(() => late.abort(stop.reason), drainTimeout_ms);
  };
  stop.addEventListener("abort", stopping, { once: true });
  return { abort: AbortSignal.any([cancel, late.signal]), drain: stop, clear: () => clearTimeout(timer) };
}
