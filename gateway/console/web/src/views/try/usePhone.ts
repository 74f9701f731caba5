import { RealtimeClient } from "pytake-realtime-client";
import { useRealtime } from "pytake-realtime-client/react";
import { useCallback, useEffect, useRef, useState } from "react";

import { CUSTOMER } from "../../lib/demo";
import type { Backend } from "./backend";
import type { Message } from "./chat";
import { type Thread, useThread } from "./useThread";

export type PhoneState = "off" | "locked" | "open";

export interface Phone {
  state: PhoneState;
  setState: (state: PhoneState) => void;
  thread: Thread;
}

// A tick that turns at once is not seen to turn.
const READING_MS = 600;

/**
 * The contact's phone. It hears of messages as WhatsApp would have it hear, and tells when they arrived and were read.
 * `isSeen`: whether whoever sits here can see it.
 */
export function usePhone(backend: Backend, isSeen: boolean): Phone {
  const [client] = useState(() => new RealtimeClient());
  const [state, setState] = useState<PhoneState>("open");
  const token = useCallback(() => backend.token(CUSTOMER, "contact"), [backend]);
  const isConnected = useRealtime(client) === "online";
  useEffect(() => {
    client.connect(token);
    // WhatsApp is not for operators to disconnect: it is back at once.
    const stop = client.onAuthError(({ code }) => {
      if (code === "sent_away") client.connect(token);
    });
    return () => {
      stop();
      client.disconnect();
    };
  }, [client, token]);
  const thread = useThread(client, backend, {
    open: true,
    author: null,
    canSend: isConnected,
    send: (message) => backend.receive(message, client.viewers(backend.conversation)),
  });
  useReceipts(backend, thread.messages, state, isSeen && isConnected);
  useTicks(thread, backend.agents);
  return { state, setState, thread };
}

/** On what the contact wrote: delivered once the company has it, read once an agent has the conversation open. */
function useTicks({ messages, viewers, tick }: Thread, agents: readonly string[]): void {
  const status = viewers.some((user) => agents.includes(user)) ? "read" : "delivered";
  useEffect(() => {
    const own = messages.filter((message) => message.author === null && message.status !== "waiting");
    for (const { id } of own) tick(id, status);
  }, [messages, tick, status]);
}

function useReceipts(backend: Backend, messages: readonly Message[], state: PhoneState, isSeen: boolean): void {
  const told = useRef(new Set<string>());
  useEffect(() => {
    if (state === "off") return;
    const from = messages.filter(({ author }) => author !== null);
    const tell = (message: Message, status: "delivered" | "read") => {
      const key = `${status} ${message.id}`;
      if (told.current.has(key)) return;
      told.current.add(key);
      backend.tick(message.id, status).catch(() => told.current.delete(key));
    };
    for (const message of from) if (message.status === "sent") tell(message, "delivered");
    const unread = from.filter(({ status }) => status === "sent" || status === "delivered");
    if (state !== "open" || !isSeen || !unread.length) return;
    const timer = setTimeout(() => unread.forEach((message) => tell(message, "read")), READING_MS);
    return () => clearTimeout(timer);
  }, [backend, messages, state, isSeen]);
}
