/** Requests that the coordinator must refuse. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { finish, launch, reached } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */

/** @type {FaultCase[]} */
export const accessControlCases = [
  {
    name: "access control: no token, wrong token, wrong Host, wrong Origin, ../ in a name",
    row: "no token, wrong token, wrong Host or Origin",
    async run(context) {
      const { cluster } = context;
      await launch(context);
      await reached(context, 2);
      const { port, token } = JSON.parse(readFileSync(join(cluster.home, "coordinator.json"), "utf8"));
      /** @type {string[]} */
      const wrong = [];
      for (const [what, headers, path] of /** @type {[string, Record<string, string>, string][]} */ ([
        ["no token", {}, "/api/status"],
        ["wrong token", { authorization: `Bearer ${"0".repeat(token.length)}` }, "/api/status"],
        ["half a token", { authorization: `Bearer ${token.slice(0, 20)}` }, "/api/status"],
        ["wrong Host", { authorization: `Bearer ${token}`, host: "evil.example" }, "/api/status"],
        ["wrong Origin", { authorization: `Bearer ${token}`, origin: "http://evil.example" }, "/api/status"],
        ["../", { authorization: `Bearer ${token}` }, "/api/jobs/..%2f..%2fetc%2fpasswd"],
        ["../ in a page", { authorization: `Bearer ${token}` }, "/assets/..%2f..%2fpackage.json"],
      ])) {
        const status = await raw(port, path, headers);
        if (status >= 200 && status < 400) wrong.push(`${what}: ${status}`);
      }
      const result = await finish(context);
      return { result, expect: ({ goodput }) => (wrong.length === 0 && goodput.failures === 0 ? undefined : wrong.join(", ")) };
    },
  },
];

/**
 * Sends a request with exactly these headers, which an HTTP library would change.
 * @param {number} port @param {string} path @param {Record<string, string>} headers
 * @returns {Promise<number>} the status
 */
function raw(port, path, headers) {
  return new Promise((resolve, reject) => {
    const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: "close", ...headers }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    const socket = connect(port, "127.0.0.1", () => socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`));
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)));
    socket.on("error", reject);
  });
}
