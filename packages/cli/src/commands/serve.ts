import { basename } from "node:path";
import { readAllowedHosts } from "@lapidary/api/allowed-hosts";
import { resolveCheckpoint } from "@lapidary/offline/checkpoints";
import { type ServedModel, serveCheckpoint } from "@lapidary/offline/serve";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface ServeCommandOptions {
  readonly from: string;
  readonly port: number | undefined;
  readonly batch: number | undefined;
  readonly allowHosts: readonly string[];
}

/** Serves the model of a checkpoint until Ctrl-C. */
export async function serve(context: Context, options: ServeCommandOptions): Promise<ExitCode> {
  const { console, env, home, interrupts } = context;
  const { from, port = 0, batch, allowHosts } = options;
  checkOptions(port, batch);
  const allowedHosts = readAllowedHosts(allowHosts, "--allow-host");
  const { directory, run = null, step = null } = await resolveCheckpoint(context, from);
  const modelId = run ?? basename(directory);
  const reporter = consoleReporter(console);
  const served = await serveCheckpoint(
    { checkpoint: directory, modelId, port, allowedHosts, batchRows: batch, home },
    { env, signal: interrupts.signal, onFailure: (error) => console.warn(error instanceof Error ? error.message : String(error)) },
    reporter,
  ).finally(reporter.end);
  const stop = new AbortController();
  const release = interrupts.takeOver(() => (stop.signal.aborted ? console.say("already stopping") : stop.abort()));
  try {
    if (interrupts.signal.aborted) stop.abort();
    const url = `http://127.0.0.1:${served.port}/v1`;
    const { token, context: contextLength, hasChat, batchRows, warnings } = served;
    console.result(
      { url, model: modelId, token, chat: hasChat, context: contextLength, batch: batchRows, checkpoint: directory, run, step, warnings },
      () => `base URL  ${url}\nAPI key   ${token}\n\n${curlLine(url, modelId, served)}`,
    );
    console.say("the model is served until Ctrl-C");
    const failure = await Promise.race([served.failed, aborted(stop.signal)]);
    if (failure !== undefined) throw failure;
  } finally {
    await served.close();
    release();
  }
  console.say("stopped: no process is left");
  return ExitCode.done;
}

function curlLine(url: string, model: string, { token, hasChat }: ServedModel): string {
  const path = hasChat ? "chat/completions" : "completions";
  const prompt = hasChat ? { messages: [{ role: "user", content: "Hello" }] } : { prompt: "Hello", max_tokens: 32 };
  const body = JSON.stringify({ model, ...prompt, stream: true }).replaceAll("'", "'\\''");
  return `curl -N ${url}/${path} -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '${body}'`;
}

function checkOptions(port: number, batch = 1): void {
  if (port > 65_535) throw argumentError(`invalid port: ${port}`, "--port", "give 1 to 65535, or 0 for a free port");
  if (batch < 1 || batch > 256) throw argumentError(`invalid number of texts: ${batch}`, "--batch", "give 1 to 256; the default is 8");
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
