import { FrameReader } from "@lapidary/coordinator/views/frames";
import { type HubMessage, StreamHub, type TabMessage } from "../model/stream-hub.js";
import { hubOptions } from "./event-stream.js";
import type { Follower } from "./source.js";

interface Following {
  readonly id: string;
  readonly after: () => number;
  readonly follower: Follower;
}

/** A tab without a shared worker holds a stream of its own; hidden for this long, it lets go of it. */
const hiddenMs = 10_000;

/** This tab's part of the stream that all tabs share. A tab that is closed, frozen or kept for "back" leaves it, and joins again when it is shown. */
export class LiveStream {
  readonly #following = new Set<Following>();
  #post: (message: TabMessage) => void;
  #away = false;

  /** @param onMessage hears what concerns the tab rather than one run */
  constructor(private readonly onMessage: (message: HubMessage) => void) {
    this.#post = this.#openShared();
    this.#join();
    for (const leaving of ["pagehide", "freeze"]) addEventListener(leaving, () => this.#leave(), { capture: true });
    for (const back of ["pageshow", "resume"]) addEventListener(back, () => this.#comeBack(), { capture: true });
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
    if (!this.#away) this.#post({ kind: "join", follows: [...this.#following].map(({ id, after }) => ({ id, after: after() })) });
  }

  #leave(): void {
    this.#away = true;
    this.#post({ kind: "leave" });
  }

  #comeBack(): void {
    if (!this.#away) return;
    this.#away = false;
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
      else this.#comeBack();
    });
    return (message) => hub.receive(tab, message);
  }

  #receive(message: HubMessage): void {
    if (this.#away) return;
    if (message.kind === "run") {
      const { news } = message;
      for (const following of this.#of(news.id))
        if (news.kind === "events") following.follower.events(news.events);
        else if (news.kind === "reset") following.follower.reset();
        // Nothing more comes, and nothing is asked for again.
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
