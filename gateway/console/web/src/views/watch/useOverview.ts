import { useCallback, useEffect, useRef, useState } from "react";

import { useSession } from "../../api/session";
import { History, POLL_MS, type Seen } from "./history";
import type { Overview } from "./overview";

export interface Watched {
  seen: Seen;
  /** Since when nobody has answered, in milliseconds. */
  lostSince: number | null;
  error: unknown;
}

/** Look at all replicas again and again while somebody looks at this page. */
export function useOverview(isOn: boolean): Watched {
  const { http } = useSession();
  const history = useRef<History>(null);
  history.current ??= new History();
  const [watched, setWatched] = useState<Watched>({ seen: history.current.seen, lostSince: null, error: null });
  const isAwake = useAwake();

  const look = useCallback(
    async (signal: AbortSignal) => {
      const known = history.current;
      if (!known) return;
      try {
        const overview = await http.get<Overview>("/console/api/overview", {}, signal);
        setWatched({ seen: known.add(overview, Date.now()), lostSince: null, error: null });
      } catch (error) {
        if (signal.aborted) return;
        const seen = known.miss(Date.now());
        setWatched((before) => ({ seen, lostSince: before.lostSince ?? Date.now(), error }));
      }
    },
    [http],
  );

  useEffect(() => {
    if (!isOn || !isAwake) return;
    const asking = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const again = async () => {
      await look(asking.signal);
      if (!asking.signal.aborted) timer = setTimeout(again, POLL_MS);
    };
    void again();
    return () => {
      asking.abort();
      clearTimeout(timer);
    };
  }, [isOn, isAwake, look]);

  return watched;
}

function useAwake(): boolean {
  const [isAwake, setAwake] = useState(!document.hidden);
  useEffect(() => {
    const look = () => setAwake(!document.hidden);
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return isAwake;
}
