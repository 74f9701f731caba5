import { useCallback, useEffect, useRef, useState } from "react";

import { ApiError, type Http } from "../../api/http";
import { linesOf } from "../../api/lines";
import { useSession } from "../../api/session";

/** What `GET /console/api/tail` says, a line at a time. */
type Said =
  | { type: "open" }
  | { type: "beat" }
  | { type: "end"; why: "draining" | "redis" }
  | { type: "skipped"; count: number }
  | { type: "malformed"; bytes: number }
  | Message;

export interface Message {
  type: "message";
  kind: "event" | "ephemeral" | "control" | "unknown";
  event: string;
  /** Milliseconds by Redis' clock. */
  at: number;
  offset: string;
  bytes: number;
  data?: unknown;
}

export type Heard = { id: number } & (Message | { type: "malformed"; bytes: number });

export interface Following {
  organization: string;
  room: string;
  payload: boolean;
}

export interface TailState {
  state: "idle" | "connecting" | "following" | "ended";
  /** Newest first. */
  heard: Heard[];
  skipped: number;
  why: "draining" | "redis" | null;
  error: unknown;
}

const KEPT = 300;
const AGAIN_MS = 1500;
/** The gateway says something every 10 seconds. */
const SILENT_MS = 25_000;
const IDLE: TailState = { state: "idle", heard: [], skipped: 0, why: null, error: null };

/** Follows a room; goes on by itself when the replica goes down or the network does. */
export function useTail() {
  const { http } = useSession();
  const [tail, setTail] = useState(IDLE);
  const going = useRef<AbortController>(null);
  const stop = useCallback(() => {
    going.current?.abort();
    going.current = null;
    setTail((before) => ({ ...before, state: "idle", why: null }));
  }, []);
  const follow = useCallback(
    (what: Following) => {
      going.current?.abort();
      going.current = new AbortController();
      setTail({ ...IDLE, state: "connecting" });
      void run(http, what, going.current.signal, setTail);
    },
    [http],
  );
  const clear = useCallback(() => setTail((before) => ({ ...before, heard: [], skipped: 0 })), []);
  useEffect(() => () => going.current?.abort(), []);
  return { tail, follow, stop, clear };
}

type Set = (change: (before: TailState) => TailState) => void;

async function run(http: Http, what: Following, signal: AbortSignal, set: Set): Promise<void> {
  while (!signal.aborted) {
    const again = await once(http, what, signal, set);
    if (signal.aborted) return;
    if (!again) return set((before) => ({ ...before, state: "ended" }));
    set((before) => ({ ...before, state: "connecting" }));
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Follow until it ends; tells whether to try again. */
async function once(http: Http, what: Following, outer: AbortSignal, set: Set): Promise<boolean> {
  const silence = new AbortController();
  const signal = AbortSignal.any([outer, silence.signal]);
  const silent = () => setTimeout(() => silence.abort(), SILENT_MS);
  let timer = silent();
  const news: Heard[] = [];
  let isDue = false;
  // Many lines may come in one frame: each frame is painted once.
  const show = () => {
    isDue = false;
    const fresh = news.splice(0).reverse();
    if (!outer.aborted) set((before) => ({ ...before, heard: [...fresh, ...before.heard].slice(0, KEPT) }));
  };
  try {
    const { organization: organization_id, room, payload } = what;
    const response = await http.open("/console/api/tail", { organization_id, room, payload }, signal);
    for await (const said of linesOf<Said>(response)) {
      clearTimeout(timer);
      timer = silent();
      if (said.type === "open") set((before) => ({ ...before, state: "following", why: null, error: null }));
      else if (said.type === "end") set((before) => ({ ...before, why: said.why }));
      else if (said.type === "skipped") set((before) => ({ ...before, skipped: before.skipped + said.count }));
      else if (said.type !== "beat") {
        news.push({ ...said, id: number++ });
        if (!isDue) setTimeout(show, 50);
        isDue = true;
      }
    }
    return true;
  } catch (error) {
    if (outer.aborted) return false;
    // What is wrong with the question stays wrong.
    const isOver = error instanceof ApiError && !["offline", "unavailable"].includes(error.code);
    if (error instanceof ApiError) set((before) => ({ ...before, error }));
    return !isOver;
  } finally {
    clearTimeout(timer);
  }
}

let number = 0;
