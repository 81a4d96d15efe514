import { type HubOptions, streamEventNames } from "../model/stream-hub.js";

/** Opens event streams of the coordinator with root `base`. */
export const hubOptions = (base: URL): HubOptions => ({
  open(query, handlers) {
    const stream = new EventSource(new URL(`api/watch?${query}`, base));
    stream.onopen = () => handlers.opened();
    for (const name of streamEventNames)
      stream.addEventListener(name, (event) => handlers.message(name, (event as MessageEvent<string>).data));
    stream.onerror = () => {
      // The hub opens the next stream, from the last received event.
      stream.close();
      handlers.failed();
    };
    return stream;
  },
  schedule(ms, then) {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
});
