import { RealtimeClient, type State } from "pytake-realtime-client";
import { usePresence, useRealtime } from "pytake-realtime-client/react";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

import type { Backend } from "./backend";
import { Line } from "./line";
import { type Thread, useThread } from "./useThread";

// A person looks at the switch and waits for it: the client's usual pauses are for thousands that come back at once.
const QUICK = { reconnectionDelay: 300, reconnectionDelayMax: 1000 };

export interface Agent {
  id: string;
  name: string;
  client: RealtimeClient;
  line: Line;
  /** When the network was cut; undefined while it is there. */
  cutAt: number | undefined;
  state: State;
  thread: Thread;
  isOpen: boolean;
  setOpen: (open: boolean) => void;
  /** Whether the conversation was opened from the inbox. */
  wasInbox: boolean;
  unread: number;
  /** Of the newest message, in the inbox. */
  preview: { text: string; at: number } | undefined;
  notifications: number;
  online: ReadonlySet<string>;
  /** Whether there was a loss that is worth a word. */
  wasAway: boolean;
  forgetAway: () => void;
  /** Why the gateway lets this agent not in. */
  refusal: string | undefined;
  /** Try again after a refusal. */
  logIn: () => void;
}

export function useAgent(person: { user_id: string; name: string }, backend: Backend): Agent {
  const { user_id: id, name } = person;
  const [line] = useState(() => new Line());
  const [client] = useState(() => new RealtimeClient({ ...QUICK, transports: line.transports }));
  const [isOpen, show] = useState(true);
  const [wasInbox, setWasInbox] = useState(false);
  const setOpen = useCallback((open: boolean) => {
    show(open);
    setWasInbox(true);
  }, []);
  const cutAt = useSyncExternalStore(line.subscribe, () => line.cutAt);
  const token = useCallback(() => backend.token(id, "agent"), [backend, id]);
  const state = useRealtime(client);
  const logIn = useCallback(() => client.connect(token), [client, token]);
  useEffect(() => {
    logIn();
    return () => client.disconnect();
  }, [client, logIn]);

  const online = usePresence(client);
  const { refusal, wasAway, forget } = useLosses(client);
  const thread = useThread(client, backend, {
    open: isOpen,
    author: id,
    canSend: state === "online",
    send: (message) => backend.send(message, id, client.sid),
  });
  const { forgetCaughtUp } = thread;
  const forgetAway = useCallback(() => {
    forget();
    forgetCaughtUp();
  }, [forget, forgetCaughtUp]);
  const inbox = useInbox(client, backend, id);
  const reads = isOpen && thread.joined && state === "online";
  const { unread, notifications, clear } = inbox;
  useEffect(() => {
    if (!reads || unread + notifications === 0) return;
    if (unread) void backend.read(id).catch(() => {});
    clear();
  }, [reads, unread, notifications, clear, backend, id]);
  const about = { id, name, client, line, cutAt, state, online, refusal, logIn };
  return { ...about, thread, isOpen, setOpen, wasInbox, wasAway, forgetAway, ...inbox };
}

function useLosses(client: RealtimeClient) {
  const [wasAway, setAway] = useState(false);
  const [refusal, setRefusal] = useState<string>();
  useEffect(() => {
    let wasOnline = false;
    const stops = [
      client.onState((state) => {
        if (wasOnline && state === "connecting") setAway(true);
        wasOnline ||= state === "online";
      }),
      client.onAuthError(({ code }) => setRefusal(code)),
    ];
    return () => stops.forEach((stop) => stop());
  }, [client]);
  const forget = useCallback(() => setAway(false), []);
  return { wasAway, refusal, forget };
}

function useInbox(client: RealtimeClient, backend: Backend, user: string) {
  const [unread, setUnread] = useState(0);
  const [preview, setPreview] = useState<Agent["preview"]>();
  const [notifications, setNotifications] = useState(0);
  useEffect(() => {
    const isOurs = (data: { conversation_id: string }) => data.conversation_id === backend.conversation;
    const stops = [
      client.on("conversation:unread_update", (data) => {
        if (!isOurs(data)) return;
        backend.noteUnread(user, data.unread_count);
        setUnread(data.unread_count);
      }),
      client.on("conversation:updated", (data) => {
        if (isOurs(data)) setPreview({ text: data.preview, at: Date.parse(data.last_message_at) });
      }),
      client.onNotification(({ metadata }) => {
        if (metadata?.["conversation_id"] === backend.conversation) setNotifications((count) => count + 1);
      }),
    ];
    return () => stops.forEach((stop) => stop());
  }, [client, backend, user]);
  const clear = useCallback(() => {
    setUnread(0);
    setNotifications(0);
  }, []);
  return { unread, preview, notifications, clear };
}
