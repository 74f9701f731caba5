import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

import type { Gap, MessageNew, MessageStatus, RealtimeClient, State, TokenProvider } from "./index.js";

/** Connect with a token or what gives one, and give the state. Null connects nothing; unmounting disconnects nothing. */
export function useRealtime(client: RealtimeClient, token: string | TokenProvider | null = null): State {
  const latest = useRef(token);
  useEffect(() => void (latest.current = token));
  // A provider is often made anew with each rendering; only its coming and going count.
  const key = typeof token === "function" ? "provider" : token;
  useEffect(() => {
    if (latest.current === null) return;
    const isProvider = typeof latest.current === "function";
    const ask: TokenProvider = async (why) => (typeof latest.current === "function" ? latest.current(why) : latest.current);
    client.connect(isProvider ? ask : (latest.current as string));
  }, [client, key]);
  const subscribe = useCallback((changed: () => void) => client.onState(changed), [client]);
  return useSyncExternalStore(
    subscribe,
    () => client.state,
    () => "idle",
  );
}

/** Who is online. */
export function usePresence(client: RealtimeClient): ReadonlySet<string> {
  const [online, setOnline] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    let isDue = false;
    const show = () => {
      isDue = false;
      setOnline(new Set(client.onlineUsers()));
    };
    // A snapshot tells of thousands, one by one.
    const stop = client.onUserStatus(() => {
      if (!isDue) queueMicrotask(show);
      isDue = true;
    });
    return () => {
      stop();
      isDue = true;
    };
  }, [client]);
  return online;
}

export interface ConversationHandlers {
  onMessage?: (message: MessageNew) => void;
  onStatus?: (status: MessageStatus) => void;
  /** Load the conversation from the REST API: once it is joined, after a gap, and while there is no connection. */
  reload?: (why: "joined" | "gap" | "fallback", gap?: Gap) => unknown;
  /** How often without a connection. */
  fallbackMs?: number;
}

export interface Conversation {
  joined: boolean;
  /** Other users who type in it. */
  typing: string[];
  /** Users who have it open. */
  viewers: string[];
}

const NOBODY: Conversation = { joined: false, typing: [], viewers: [] };

/** Be in a conversation while the component is there; several components may be in the same. */
export function useConversation(
  client: RealtimeClient,
  conversationId: string | null,
  handlers: ConversationHandlers = {},
): Conversation {
  const latest = useRef(handlers);
  useEffect(() => void (latest.current = handlers));
  const [conversation, setConversation] = useState(NOBODY);
  const { fallbackMs } = handlers;
  useEffect(() => {
    if (conversationId === null) return;
    const isOurs = (data: { conversation_id: string }) => data.conversation_id === conversationId;
    const set = (change: Partial<Conversation>) => setConversation((before) => ({ ...before, ...change }));
    const people = () => set({ typing: client.typists(conversationId), viewers: client.viewers(conversationId) });
    const reload = (...why: Parameters<NonNullable<ConversationHandlers["reload"]>>) => latest.current.reload?.(...why);
    let isOver = false;
    const stops = [
      client.onNewMessage((message) => isOurs(message) && latest.current.onMessage?.(message)),
      client.onMessageStatus((status) => isOurs(status) && latest.current.onStatus?.(status)),
      client.onTyping((typing) => isOurs(typing) && people()),
      client.onViewers((viewers) => isOurs(viewers) && people()),
      client.onGap((gap) => gap.conversation_id === conversationId && reload("gap", gap)),
      client.fallback(() => reload("fallback"), fallbackMs),
      enter(client, conversationId, () => {
        if (isOver) return;
        set({ joined: true });
        people();
        reload("joined");
      }),
    ];
    return () => {
      isOver = true;
      for (const stop of stops) stop();
      setConversation(NOBODY);
    };
  }, [client, conversationId, fallbackMs]);
  return conversation;
}

const inside = new WeakMap<RealtimeClient, Map<string, number>>();

/** Join with the first component, leave with the last. */
function enter(client: RealtimeClient, id: string, joined: () => void): () => void {
  const counts = inside.get(client) ?? new Map<string, number>();
  inside.set(client, counts);
  counts.set(id, (counts.get(id) ?? 0) + 1);
  client.joinConversation(id).then(joined, () => {});
  return () => {
    const left = (counts.get(id) ?? 1) - 1;
    if (left) counts.set(id, left);
    else {
      counts.delete(id);
      client.leaveConversation(id);
    }
  };
}
