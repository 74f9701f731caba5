import { expect, test } from "vitest";

import { added, type Message, messageOf, newId, published, ticked } from "./chat";

const message = (id: string, at: number, more: Partial<Message> = {}): Message => ({
  id,
  at,
  author: "alice",
  text: id,
  status: "sent",
  how: "live",
  ...more,
});

test("a message that comes twice is there once, with the later status", () => {
  const once = added([], message("a", 1));
  const twice = added(added(once, message("a", 1, { status: "read" })), message("a", 1, { status: "delivered" }));
  expect(twice).toEqual([message("a", 1, { status: "read" })]);
});

test("what was published earlier stands above, whenever it comes", () => {
  const messages = [message("b", 2), message("a", 1), message("c", 3)].reduce<readonly Message[]>(added, []);
  expect(messages.map(({ id }) => id)).toEqual(["a", "b", "c"]);
});

test("a tick never falls back, and a failure is final", () => {
  const read = ticked([message("a", 1)], "a", "read");
  expect(ticked(read, "a", "delivered")).toBe(read);
  const failed = ticked(read, "a", "failed");
  expect(ticked(failed, "a", "read")).toBe(failed);
});

test("what waits for the network stands last, and gets its place once it is published", () => {
  const waiting = added([], message("mine", Number.POSITIVE_INFINITY, { status: "waiting" }));
  const after = added(waiting, message("theirs", 5));
  expect(after.map(({ id }) => id)).toEqual(["theirs", "mine"]);
  const [first] = published(after, "mine", 4);
  expect(first).toEqual(message("mine", 4));
});

test("a message of the gateway's says who wrote it", () => {
  const event = {
    id: "a",
    conversation_id: "c",
    direction: "inbound" as const,
    sender_type: "contact",
    message_type: "image",
    content: {},
    status: "received",
    whatsapp_message_id: null,
    created_at: "1970-01-01T00:00:01Z",
  };
  expect(messageOf(event, "missed")).toEqual(message("a", 1000, { author: null, text: "[image]", how: "missed" }));
  const sent = { ...event, direction: "outbound" as const, status: "read", sender_id: "bruno", content: { text: "Oi" } };
  expect(messageOf(sent, "live")).toEqual(message("a", 1000, { author: "bruno", text: "Oi", status: "read" }));
});

test("ids are UUIDs of version 4, each another", () => {
  expect(newId()).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  expect(newId()).not.toBe(newId());
});
