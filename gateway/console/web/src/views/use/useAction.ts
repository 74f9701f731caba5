import { useCallback, useRef, useState } from "react";

export interface Action<Asked extends unknown[], Found> {
  busy: boolean;
  found: Found | null;
  error: unknown;
  run: (...asked: Asked) => Promise<void>;
  forget: () => void;
}

/** Something that is asked for at a click: under way, found or failed. Of several only the last one counts. */
export function useAction<Asked extends unknown[], Found>(
  ask: (...asked: Asked) => Promise<Found>,
): Action<Asked, Found> {
  const [state, setState] = useState<{ busy: boolean; found: Found | null; error: unknown }>({
    busy: false,
    found: null,
    error: null,
  });
  const turn = useRef(0);
  const run = async (...asked: Asked) => {
    const mine = ++turn.current;
    setState((before) => ({ ...before, busy: true, error: null }));
    try {
      const found = await ask(...asked);
      if (mine === turn.current) setState({ busy: false, found, error: null });
    } catch (error) {
      if (mine === turn.current) setState({ busy: false, found: null, error });
    }
  };
  const forget = useCallback(() => {
    turn.current++;
    setState({ busy: false, found: null, error: null });
  }, []);
  return { ...state, run, forget };
}
