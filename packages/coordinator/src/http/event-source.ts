import type { ServerResponse } from "node:http";
import { jsonText } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";
import type { Run } from "@lapidary/telemetry";
import { asLapidaryError } from "./errors.js";

/** A comment is sent at this interval, so that neither side closes a silent connection. */
const keepAliveIntervalMs = 15_000;
/** A reader with more unsent bytes is disconnected; it reconnects with the last id it received. */
const maxUnsentBytes = 16 << 20;

/**
 * Sends the events of a run as server-sent events until `done`, or until the reader disconnects.
 *
 * @param after number of the last event that the reader has
 * @param follows whether to wait for later events
 */
export async function sendEvents(response: ServerResponse, run: Run, after: number, follows: boolean): Promise<void> {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    connection: "keep-alive",
    "x-content-type-options": "nosniff",
  });
  response.write("retry: 1000\n\n");
  const alive = setInterval(() => response.write(": alive\n\n"), keepAliveIntervalMs);
  alive.unref();
  let stop = (): void => undefined;
  response.once("close", () => {
    clearInterval(alive);
    stop();
  });
  let follow: () => void;
  try {
    follow = await run.follow(after, (event) => {
      if (response.destroyed) return;
      response.write(textOf(event));
      if (event.event === "done") response.end();
      else if (response.writableLength > maxUnsentBytes) response.destroy();
    });
  } catch (error) {
    // The answer has begun. An event reports the error, so that the reader does not wait for others.
    response.end(`event: error\ndata: ${jsonText(asLapidaryError(error).toJSON())}\n\n`);
    throw error;
  }
  if (response.destroyed) follow();
  else stop = follow;
  // A client that has received `done` and reconnects gets the end of the stream.
  if ((!follows || run.summary.finished_at !== undefined) && !response.writableEnded) response.end();
}

/** JSON contains no line feeds, so one `data` line is enough. */
const textOf = (event: StreamEvent): string => `id: ${event.id}\nevent: ${event.event}\ndata: ${jsonText(event.data)}\n\n`;
