/** What the views are about: the organization and the room that were looked at last, the same in all of them. */
import { useSyncExternalStore } from "react";

import type { Demo } from "../api/types";

export interface Subject {
  organization: string;
  room: string;
}

const KEPT = "console.subject";
const asked = new Set<() => void>();
let subject: Subject | null = kept();

/** Until somebody says otherwise it is the organization that `gateway dev` tries things with. */
export function useSubject(demo: Demo): [Subject, (change: Partial<Subject>) => void] {
  const found = useSyncExternalStore(subscribe, () => subject);
  const current = found ?? { organization: demo.organization_id, room: `conversation:${demo.conversation_id}` };
  const change = (changed: Partial<Subject>) => {
    subject = { ...current, ...changed };
    sessionStorage.setItem(KEPT, JSON.stringify(subject));
    for (const tell of asked) tell();
  };
  return [current, change];
}

function subscribe(changed: () => void): () => void {
  asked.add(changed);
  return () => asked.delete(changed);
}

function kept(): Subject | null {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Partial<Subject> | null;
    const isWhole = typeof found?.organization === "string" && typeof found.room === "string";
    return isWhole ? (found as Subject) : null;
  } catch {
    return null;
  }
}
