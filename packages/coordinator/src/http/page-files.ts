import { existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import type { FastifyInstance, FastifyReply } from "fastify";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".woff2": "font/woff2",
  ".svg": "image/svg+xml",
};

/** The page may load the files in its directory and connect to its server, and nothing else. No inline code runs. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** `index.html` of the page and the files that it loads, as the build wrote them to a directory. */
export class PageFiles {
  constructor(readonly directory: string) {}

  get isBuilt(): boolean {
    return existsSync(join(this.directory, "index.html"));
  }

  read(name: string): Buffer {
    return readFileSync(join(this.directory, name));
  }

  send(reply: FastifyReply, name: string): FastifyReply {
    return reply
      .headers({
        "content-security-policy": pagePolicy,
        "cache-control": name.startsWith("assets/") ? "private, max-age=31536000, immutable" : "no-store",
      })
      .type(types[extname(name)] ?? "application/octet-stream")
      .send(this.read(name));
  }

  /** File names of the build contain a hash. A client that has such a file need not request it again. */
  addRoutes(server: FastifyInstance): void {
    server.get("/assets/:file", (request, reply) => {
      const { file } = request.params as { file: string };
      if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$/.test(file) || !existsSync(join(this.directory, "assets", file))) throw noFile(file);
      return this.send(reply, `assets/${file}`);
    });
  }
}

function noFile(file: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_ROUTE",
    message: `the page has no file ${JSON.stringify(file.slice(0, 80))}`,
    location: "assets",
    remedy: "load the page again: it may have been rebuilt",
  });
}

export function noPage(): LapidaryError {
  return new LapidaryError({
    code: "LAP_PAGE_NOT_BUILT",
    message: "the dashboard has not been built",
    location: "packages/dashboard/page/dist",
  });
}
