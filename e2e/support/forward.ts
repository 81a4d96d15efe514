import { once } from "node:events";
import { createServer as createHttpServer, request } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface Forward {
  readonly port: number;
  close(): Promise<void>;
}

/** Forwards a free port of 127.0.0.1 to another port, byte by byte, as `ssh -L` does. */
export async function forwardPort(to: number): Promise<Forward> {
  return listen(
    createServer((from) => {
      const target = connect(to, "127.0.0.1");
      from.pipe(target).pipe(from);
      for (const side of [from, target])
        side.on("error", () => {
          from.destroy();
          target.destroy();
        });
    }),
  );
}

/** An HTTP proxy that removes a prefix such as `/user/me/proxy/8765` from the path and forwards everything else as it is. */
export async function forwardBelow(prefix: string, to: number): Promise<Forward> {
  return listen(
    createHttpServer((incoming, response) => {
      const { url = "", method = "GET", headers } = incoming;
      if (!url.startsWith(`${prefix}/`)) return void response.writeHead(404).end();
      const sent = request({ host: "127.0.0.1", port: to, path: url.slice(prefix.length), method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      sent.on("error", () => response.destroy());
      response.on("close", () => sent.destroy());
      incoming.pipe(sent);
    }),
  );
}

async function listen(server: Server): Promise<Forward> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
