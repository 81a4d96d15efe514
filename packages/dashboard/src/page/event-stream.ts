import { type HubOptions, streamEventNames } from "../model/stream-hub.js";

/** Streams of the browser, from the coordinator's root `base`. */
export const hubOptions = (base: URL): HubOptions => ({
  open(query, handlers) {
    const stream = new EventSource(new URL(`api/watch?${query}`, base));
    stream.onopen = () => handlers.opened();
    for (const name of streamEventNames)
      stream.addEventListener(name, (event) => handlers.message(name, (event as MessageEvent<string>).data));
    stream.onerror = () => {
      // The hub opens the next one: it asks for what comes after the last event that was understood.
      stream.close();
      handlers.failed();
    };
    return stream;
  },
  later(ms, then) {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
});
