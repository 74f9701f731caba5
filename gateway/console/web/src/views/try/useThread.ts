import type { PastEvent, RealtimeClient } from "pytake-realtime-client";
import { useConversation } from "pytake-realtime-client/react";
import { useCallback, useEffect, useRef, useState } from "react";

import type { Backend } from "./backend";
import { added, type How, type Message, messageOf, newId, published, type Status, ticked } from "./chat";

const RETRY_MS = 1000;

export interface Thread {
  messages: readonly Message[];
  /** Whether events come in. */
  joined: boolean;
  typing: readonly string[];
  viewers: readonly string[];
  /** How many messages were made good by the latest recovery. */
  caughtUp: number;
  forgetCaughtUp: () => void;
  write: (text: string) => void;
  tick: (id: string, status: Status) => void;
  /** In milliseconds, how long a message of this page's took from being published until it was on this screen. */
  took: Map<string, number>;
}

/**
 * The conversation in one window. What is written in it waits until the window has a network (`canSend`), and is then
 * handed to `send`, which gives when it was published.
 */
export function useThread(
  client: RealtimeClient,
  backend: Backend,
  { open, author, canSend, send }: {
    open: boolean;
    author: string | null;
    canSend: boolean;
    send: (message: Message) => Promise<number>;
  },
): Thread {
  const [messages, setMessages] = useState<readonly Message[]>([]);
  const [caughtUp, setCaughtUp] = useState(0);
  const [took] = useState(() => new Map<string, number>());
  const how = useHow(client);

  const hear = useCallback(
    (event: Parameters<typeof messageOf>[0], came: How) => setMessages((now) => added(now, messageOf(event, came))),
    [],
  );
  const tick = useCallback((id: string, status: Status) => setMessages((now) => ticked(now, id, status)), []);
  const { joined, typing, viewers } = useConversation(client, open ? backend.conversation : null, {
    onMessage: (event) => {
      const came = how(Date.parse(event.created_at));
      if (came === "missed") setCaughtUp((count) => count + 1);
      hear(event, came);
    },
    onStatus: ({ message_id, status }) => tick(message_id, status),
    reload: async (why) => {
      if (why === "fallback" && !canSend) return;
      const events = await backend.load().catch((): PastEvent[] => []);
      for (const { event, data } of events) {
        if (event === "message:new") hear(data, "earlier");
        if (event === "message:status") tick(data.message_id, data.status);
      }
    },
  });

  const write = (text: string) => {
    const at = Number.POSITIVE_INFINITY; // behind all others until it is published
    setMessages((now) => added(now, { id: newId(), author, text, status: "waiting", at, how: "own" }));
  };
  const sent = useCallback((id: string, at: number) => setMessages((now) => published(now, id, at)), []);
  useOutbox(messages, canSend, send, sent);

  const forgetCaughtUp = useCallback(() => setCaughtUp(0), []);
  return { messages, joined, typing, viewers, caughtUp, forgetCaughtUp, write, tick, took };
}

/** Tell how a message came that was published at a time: what a recovery brings comes before the client is online. */
function useHow(client: RealtimeClient): (at: number) => How {
  const since = useRef(0);
  useEffect(
    () =>
      client.onState((state) => {
        if (state === "online") since.current = Date.now();
      }),
    [client],
  );
  return (at) => (client.state !== "online" || at < since.current ? "missed" : "live");
}

function useOutbox(
  messages: readonly Message[],
  canSend: boolean,
  send: (message: Message) => Promise<number>,
  sent: (id: string, at: number) => void,
): void {
  const underWay = useRef(new Set<string>());
  const latest = useRef(send);
  useEffect(() => void (latest.current = send));
  const [failures, setFailures] = useState(0);
  useEffect(() => {
    if (!canSend) return;
    for (const message of messages) {
      if (message.status !== "waiting" || underWay.current.has(message.id)) continue;
      underWay.current.add(message.id);
      latest.current(message).then(
        (at) => sent(message.id, at),
        // Sent again: it is published once, by its id.
        () => setTimeout(() => {
          underWay.current.delete(message.id);
          setFailures((count) => count + 1);
        }, RETRY_MS),
      );
    }
  }, [messages, canSend, sent, failures]);
}
