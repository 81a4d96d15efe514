import { FrameReader } from "@lapidary/api/frames";
import { type HubMessage, StreamHub, type TabMessage } from "../model/stream-hub.js";
import { hubOptions } from "./event-stream.js";
import type { Follower } from "./source.js";

interface Following {
  readonly id: string;
  readonly after: () => number;
  readonly follower: Follower;
}

/** A tab without a shared worker has its own stream, and closes it after it was hidden for this long. */
const hiddenMs = 10_000;

/** The connection of this tab to the stream that all tabs share. A tab that is closed, frozen or cached leaves the stream, and joins again when it is shown. */
export class LiveStream {
  readonly #following = new Set<Following>();
  #post: (message: TabMessage) => void;
  #suspended = false;

  /** @param onMessage receives the messages that concern the tab and not one run */
  constructor(private readonly onMessage: (message: HubMessage) => void) {
    this.#post = this.#openShared();
    this.#join();
    for (const leaving of ["pagehide", "freeze"]) addEventListener(leaving, () => this.#leave(), { capture: true });
    for (const back of ["pageshow", "resume"]) addEventListener(back, () => this.#resume(), { capture: true });
  }

  follow(id: string, after: () => number, follower: Follower): () => void {
    const following = { id, after, follower };
    this.#following.add(following);
    this.#join();
    return () => {
      if (this.#following.delete(following)) this.#join();
    };
  }

  #join(): void {
    if (!this.#suspended) this.#post({ kind: "join", follows: [...this.#following].map(({ id, after }) => ({ id, after: after() })) });
  }

  #leave(): void {
    this.#suspended = true;
    this.#post({ kind: "leave" });
  }

  #resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#join();
  }

  #openShared(): (message: TabMessage) => void {
    if (typeof SharedWorker === "undefined") return this.#openOwn();
    const worker = new SharedWorker(new URL("./stream-worker.ts", import.meta.url), { type: "module", name: "lapidary" });
    worker.port.onmessage = ({ data }: MessageEvent<HubMessage>) => this.#receive(data);
    worker.addEventListener("error", () => {
      this.#post = this.#openOwn();
      this.#join();
    });
    return (message) => worker.port.postMessage(message);
  }

  #openOwn(): (message: TabMessage) => void {
    const hub = new StreamHub(hubOptions(new URL(".", location.href)));
    const tab = { send: (message: HubMessage) => this.#receive(message) };
    let timer: ReturnType<typeof setTimeout> | undefined;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.visibilityState === "hidden") timer = setTimeout(() => this.#leave(), hiddenMs);
      else this.#resume();
    });
    return (message) => hub.receive(tab, message);
  }

  #receive(message: HubMessage): void {
    if (this.#suspended) return;
    if (message.kind === "run") {
      const { update: update } = message;
      for (const following of this.#of(update.id))
        if (update.kind === "events") following.follower.events(update.events);
        else if (update.kind === "reset") following.follower.reset();
        // The run is finished: no more events follow.
        else this.#following.delete(following);
    } else if (message.kind === "frames") {
      const { id, base64 } = message.frames;
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      for (const frame of new FrameReader().push(bytes))
        for (const { follower } of this.#of(id))
          if (frame.kind === "chips") follower.chips(frame.chips);
          else follower.frames(frame.workers, frame.steps);
    } else {
      if (message.kind === "connected") for (const { follower } of this.#following) follower.connected(message.is);
      this.onMessage(message);
    }
  }

  #of(id: string): Following[] {
    return [...this.#following].filter((following) => following.id === id);
  }
}
