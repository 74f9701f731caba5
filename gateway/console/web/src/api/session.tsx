/** What this page may do: asked once, with the key where one is needed, and again when it is refused. */
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from "react";

import { ApiError, httpWith, type Http } from "./http";
import type { Session } from "./types";

const KEPT = "console.key";
const RETRY_MS = 2000;

export type Entry =
  | { state: "loading" | "offline" }
  | { state: "key"; wrong: boolean; enter: (key: string) => void }
  | { state: "open"; session: Session; http: Http; leave: (() => void) | null };

const Context = createContext<Entry>({ state: "loading" });

type Answer = "loading" | "offline" | { refused: string | null } | { session: Session; key: string | null };

export function SessionProvider({ children }: { children: ReactNode }) {
  // An object, so that the same key can be tried again.
  const [given, give] = useState(() => ({ key: sessionStorage.getItem(KEPT) }));
  const [answer, setAnswer] = useState<Answer>("loading");
  const isAsking = useRef(false);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { key } = given;
    const asking = new AbortController();
    const ask = async () => {
      isAsking.current = true;
      try {
        const query = { origin: location.origin };
        const session = await httpWith(key).get<Session>("/console/api/session", query, asking.signal);
        setAnswer({ session, key: session.key ?? key });
      } catch (error) {
        if (asking.signal.aborted) return;
        if (error instanceof ApiError && error.code === "unauthorized") setAnswer({ refused: key });
        else {
          // Views that are there say themselves that nobody answers.
          setAnswer((before) => (before === "loading" ? "offline" : before));
          timer = setTimeout(ask, RETRY_MS);
          return;
        }
      }
      isAsking.current = false;
    };
    void ask();
    return () => {
      asking.abort();
      clearTimeout(timer);
    };
  }, [given]);

  const entry = useMemo<Entry>(() => {
    if (typeof answer === "string") return { state: answer };
    const enter = (key: string) => {
      sessionStorage.setItem(KEPT, key);
      give({ key });
    };
    if ("refused" in answer) return { state: "key", wrong: answer.refused !== null, enter };
    const leave = () => {
      sessionStorage.removeItem(KEPT);
      give({ key: null });
    };
    // Ask again: `gateway dev` that was started anew has another key, and gives it.
    const refused = () => {
      if (!isAsking.current) give(({ key }) => ({ key }));
    };
    const http = httpWith(answer.key, refused);
    return { state: "open", session: answer.session, http, leave: answer.session.key === null ? leave : null };
  }, [answer]);

  return <Context value={entry}>{children}</Context>;
}

export function useEntry(): Entry {
  return useContext(Context);
}

/** In a view: there is a session then. */
export function useSession(): { session: Session; http: Http } {
  const entry = useContext(Context);
  if (entry.state !== "open") throw new Error("there is no session yet");
  return entry;
}
