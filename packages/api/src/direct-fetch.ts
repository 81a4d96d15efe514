import { Agent, request } from "node:http";
import { Readable } from "node:stream";

/** Connections of this process to coordinators of this machine. */
const agent = new Agent({ keepAlive: true });

export interface DirectRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/**
 * An HTTP request to this machine, answered as `fetch` answers. It never uses a proxy. With NODE_USE_ENV_PROXY
 * (Node 22.21 and later), `fetch` would send the token to the proxy of HTTP_PROXY.
 */
export function directFetch(url: string, { method, headers, body, signal }: DirectRequest): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method,
      agent,
      signal,
      headers: { ...headers, ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }) },
    });
    sent.once("error", reject);
    sent.once("response", (answer) => {
      const status = answer.statusCode ?? 502;
      const fields = new Headers();
      for (const [name, value] of Object.entries(answer.headers))
        for (const each of value === undefined ? [] : [value].flat()) fields.append(name, each);
      const hasBody = status !== 204 && status !== 304;
      if (!hasBody) answer.resume();
      resolve(new Response(hasBody ? (Readable.toWeb(answer) as ReadableStream<Uint8Array>) : null, { status, headers: fields }));
    });
    sent.end(body);
  });
}
