import { StreamHub, type Tab, type TabMessage } from "../model/stream-hub.js";
import { hubOptions } from "./event-stream.js";

/** The shared worker with the stream of all tabs; it ends with the last tab. Its script is in `assets/`, below the coordinator's root. */
const hub = new StreamHub(hubOptions(new URL("../", self.location.href)));

self.addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (port === undefined) return;
  const tab: Tab = { send: (message) => port.postMessage(message) };
  port.onmessage = ({ data }: MessageEvent<TabMessage>) => hub.receive(tab, data);
});
