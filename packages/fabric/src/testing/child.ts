import { connect, listen } from "../listen.js";

// The second process of the channel tests: `child.js listen|connect|echo PATH`.
const [, , role, path] = process.argv;
if (path === undefined) throw new Error("usage: child ROLE PATH");
if (role === "listen") {
  await listen(path, () => undefined);
  process.send?.("listening");
} else {
  const channel = await connect(path);
  channel.send("ready");
  channel.onMessage((header, payload) => {
    if (role === "echo") channel.send(header, [payload]);
  });
  await channel.closed;
  process.disconnect?.();
}
