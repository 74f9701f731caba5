/** What a window shows of a conversation, and how it changes: nothing twice, no tick that falls back. */
import type { MessageNew } from "pytake-realtime-client";

export type Status = "waiting" | "sent" | "delivered" | "read" | "failed";

/** How a message came into this window: written in it, as it happened, made good after a loss, or loaded. */
export type How = "own" | "live" | "missed" | "earlier";

export interface Message {
  id: string;
  /** The agent who wrote it; null is the contact. */
  author: string | null;
  text: string;
  status: Status;
  /** When it was published, in milliseconds. */
  at: number;
  how: How;
}

const RANK: Record<Status, number> = { waiting: 0, sent: 1, delivered: 2, read: 3, failed: 4 };

/** Add a message in its place; of one that is there already only the status goes on. */
export function added(messages: readonly Message[], message: Message): readonly Message[] {
  if (messages.some(({ id }) => id === message.id)) return ticked(messages, message.id, message.status);
  const place = messages.findLastIndex(({ at }) => at <= message.at) + 1;
  return messages.toSpliced(place, 0, message);
}

export function ticked(messages: readonly Message[], id: string, status: Status): readonly Message[] {
  const place = messages.findIndex((message) => message.id === id);
  const before = messages[place];
  if (!before || RANK[status] <= RANK[before.status]) return messages;
  return messages.with(place, { ...before, status });
}

/** It was published at last: now it has its place. */
export function published(messages: readonly Message[], id: string, at: number): readonly Message[] {
  const before = messages.find((message) => message.id === id);
  if (!before) return messages;
  const rest = messages.filter((message) => message !== before);
  return added(rest, { ...before, at, status: before.status === "waiting" ? "sent" : before.status });
}

export function messageOf(event: MessageNew, how: How): Message {
  const { sender_id } = event as MessageNew & { sender_id?: string };
  const text = event.content["text"];
  return {
    id: event.id,
    author: event.direction === "inbound" ? null : (sender_id ?? ""),
    text: typeof text === "string" ? text : `[${event.message_type}]`,
    status: event.status in RANK ? (event.status as Status) : "sent",
    at: Date.parse(event.created_at),
    how,
  };
}

/** Hours and minutes, short in every language: there is little room beside a message. */
export function clock(at: number | Date, language: string): string {
  return new Date(at).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** A UUID; `crypto.randomUUID` is there only with TLS and on this machine. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
