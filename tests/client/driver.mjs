// Runs any number of pages with the browser client, as the test's process says: JSON lines in, JSON lines out.
//
//   {"do": "open", "page": 1, "options": {...}}                          a RealtimeClient
//   {"do": "connect", "page": 1, "tokens": ["..."], "fixed": false}      fixed: the first as it is; else a provider
//                                                                        that gives one after the other; null throws
//   {"do": "call", "page": 1, "ask": 7, "method": "...", "args": [...]}
//   {"do": "poll", "page": 1, "everyMs": 100}
//   {"do": "load", "page": 1, "url": "...", "everyMs": 30000}            fetched as a fallback and after a gap
//   {"do": "listen" | "close", "page": 1}
//
// Every report has `page` and `what`: the name of an event and its `data`, "answer", "asked for token" or "polled".
import { createInterface } from "node:readline";

import { RealtimeClient } from "../../gateway/client/dist/index.js";

const HEARD = [
  "connected",
  "message:new",
  "message:status",
  "user_typing",
  "user:status",
  "conversation:viewers",
  "conversation:updated",
  "notification:new",
  "left_conversation",
  "auth:expiring",
  "end",
  "gap",
  "state",
  "refused",
  "failed",
];

const pages = new Map();
const plain = (data) => (data instanceof Error ? { code: data.code, message: data.message, retry: data.retry } : data);
const report = (page, what, data) => process.stdout.write(JSON.stringify({ page, what, data: plain(data) }) + "\n");

const commands = {
  open({ page, options }) {
    const client = new RealtimeClient(options);
    pages.set(page, client);
    for (const name of HEARD) client.on(name, (data) => report(page, name, data));
  },
  connect({ page, tokens, fixed }) {
    const provider = async (why) => {
      report(page, "asked for token", why);
      const token = tokens.length > 1 ? tokens.shift() : tokens[0];
      if (token === "away") throw new Error("the backend is away");
      return token;
    };
    pages.get(page).connect(fixed ? tokens[0] : provider);
  },
  async call({ page, ask, method, args }) {
    try {
      const value = await pages.get(page)[method](...args);
      report(page, "answer", { ask, value: value ?? null });
    } catch (error) {
      report(page, "answer", { ask, error: plain(error) });
    }
  },
  poll({ page, everyMs }) {
    pages.get(page).fallback(() => report(page, "polled", pages.get(page).state), everyMs);
  },
  load({ page, url, everyMs }) {
    const text = (response) => response.text();
    // As a page would: once more, since a server may end an idle connection just as it is used again.
    const load = () => fetch(url).then(text).catch(() => fetch(url).then(text)).catch((error) => report(page, "not loaded", error));
    pages.get(page).fallback(load, everyMs);
    pages.get(page).onGap(load);
  },
  listen({ page }) {
    pages.get(page).onUserStatus(() => {});
  },
  close({ page }) {
    pages.get(page).disconnect();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  void commands[command.do](command);
}
process.exit(0);
