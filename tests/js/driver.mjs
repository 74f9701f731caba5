// Runs any number of browsers, as the test's process says: JSON lines in, JSON lines out.
//
//   {"do": "open", "browser": 1, "client": "4.0", "url": "http://...", "options": {...}}
//   {"do": "emit", "browser": 1, "event": "ping", "args": [...], "ack": 7, "times": 1}      ack: null for none
//   {"do": "ask", "browser": 1, "event": "join_room", "args": [...], "ack": 8}      reports `asked`, or `unsent`
//   {"do": "cut" | "close" | "connect" | "forget", "browser": 1}
//
// Every report has `browser`, `what`, and `at`: seconds of the system's monotonic clock, which is Python's
// time.monotonic() on the same machine. What an event holds as `padding` is left out.
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";
import { io as io40 } from "socket.io-client-4.0";
import { io as io45 } from "socket.io-client-4.5";
import { io as ioNewest } from "socket.io-client-newest";

const clients = { "4.0": io40, 4.5: io45, newest: ioNewest };
const browsers = new Map();

const withoutPadding = (key, value) => (key === "padding" ? undefined : value);

const report = (browser, what, facts) => {
  const at = Number(process.hrtime.bigint()) / 1e9;
  process.stdout.write(JSON.stringify({ browser, what, at, ...facts }, withoutPadding) + "\n");
};

const commands = {
  open({ browser, client, url, options }) {
    // An agent of its own, so that its connections can be cut.
    const { Agent } = url.startsWith("https:") ? https : http;
    const agent = new Agent({ keepAlive: false, ca: options.ca });
    const socket = clients[client](url, { forceNew: true, agent, ...options });
    browsers.set(browser, { socket, agent });
    const transport = () => socket.io.engine?.transport?.name;
    socket.io.on("open", () => {
      report(browser, "open", { transport: transport() });
      socket.io.engine.on("upgrade", () => report(browser, "upgrade", { transport: transport() }));
    });
    socket.io.on("reconnect_attempt", (number) => report(browser, "reconnect_attempt", { number }));
    socket.io.on("reconnect_failed", () => report(browser, "reconnect_failed"));
    socket.onAny((event, ...args) => report(browser, "event", { event, args }));
    socket.on("connect", () => {
      const { id, recovered = false, _pid: pid = null } = socket;
      report(browser, "connect", { sid: id, pid, recovered, transport: transport() });
    });
    socket.on("disconnect", (reason, details) => {
      // What the websocket's close frame said, or the status of a failed poll or post.
      const { code = details?.description ?? null, reason: said = null } = details?.context ?? {};
      report(browser, "disconnect", { reason, code, said });
    });
    socket.on("connect_error", (error) =>
      report(browser, "connect_error", { message: error.message, data: error.data ?? null }),
    );
  },
  emit({ browser, event, args, ack, times = 1 }) {
    const done = ack === null ? [] : [(...answer) => report(browser, "ack", { ack, args: answer })];
    for (let i = 0; i < times; i++) browsers.get(browser).socket.emit(event, ...args, ...done);
  },
  // For who minds when a request goes out: none waits for the next connection.
  ask({ browser, event, args, ack }) {
    const { socket } = browsers.get(browser);
    if (!socket.connected) return report(browser, "unsent", { ack });
    report(browser, "asked", { ack });
    socket.emit(event, ...args, (...answer) => report(browser, "ack", { ack, args: answer }));
  },
  // The network goes away: nothing is said to the server, nothing comes from it.
  cut({ browser }) {
    const { socket, agent } = browsers.get(browser);
    socket.io.engine?.transport?.ws?.terminate();
    agent.destroy();
  },
  // The page calls disconnect(): the client does not come back by itself.
  close({ browser }) {
    browsers.get(browser).socket.disconnect();
  },
  connect({ browser }) {
    browsers.get(browser).socket.connect();
  },
  // The tab is closed.
  forget({ browser }) {
    const { socket, agent } = browsers.get(browser);
    browsers.delete(browser);
    socket.offAny();
    socket.off();
    socket.disconnect();
    setTimeout(() => agent.destroy(), 1000).unref();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command);
}
process.exit(0);
