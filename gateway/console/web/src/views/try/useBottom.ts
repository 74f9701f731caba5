import { type RefObject, useEffect, useRef } from "react";

import type { Message } from "./chat";

// Fractions of a pixel, and what comes in from a little below.
const NEAR_PX = 12;

/**
 * Keep a box at its newest message, whatever comes and however high the box is, unless somebody scrolled up to read;
 * what is written in this window is always gone to. A box that was hidden changes its size when it is shown.
 */
export function useBottom(box: RefObject<HTMLElement | null>, messages: readonly Message[]): void {
  const isThere = useRef(true);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => {
      isThere.current = element.scrollHeight - element.scrollTop - element.clientHeight <= NEAR_PX;
    };
    const observer = new ResizeObserver(() => isThere.current && toBottom(element));
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [box]);
  useEffect(() => {
    isThere.current ||= messages.at(-1)?.status === "waiting";
    if (isThere.current && box.current) toBottom(box.current);
  }, [box, messages]);
}

function toBottom(element: HTMLElement): void {
  element.scrollTo({ top: element.scrollHeight });
}
