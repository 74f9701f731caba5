import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { UserTyping } from "../src/events.js";
import { Keystrokes, Typists } from "../src/typing.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const CHECK_MS = 10_000;
const start = (user_id: string): UserTyping => ({ conversation_id: "c", user_id, typing: true });
const stop = (user_id: string): UserTyping => ({ ...start(user_id), typing: false });

function typists(truth: () => Promise<string[]>) {
  const told: UserTyping[] = [];
  return { told, typists: new Typists(CHECK_MS, truth, (typing) => told.push(typing)) };
}

test("a start is told once, its end once, and several typists are told apart", () => {
  const { told, typists: here } = typists(async () => []);
  for (const heard of [start("a"), start("a"), start("b"), stop("a"), stop("a")]) here.heard(heard);
  expect(told).toEqual([start("a"), start("b"), stop("a")]);
  expect(here.in("c")).toEqual(["b"]);
});

test("who does not type any more has stopped, though nobody said so", async () => {
  const { told, typists: here } = typists(async () => ["b"]);
  here.heard(start("a"));
  here.heard(start("b"));
  await vi.advanceTimersByTimeAsync(CHECK_MS);
  expect(told.slice(2)).toEqual([stop("a")]);
});

test("who still types goes on, and is asked about again", async () => {
  let truth = ["a"];
  const { told, typists: here } = typists(async () => truth);
  here.heard(start("a"));
  await vi.advanceTimersByTimeAsync(3 * CHECK_MS);
  expect(told).toEqual([start("a")]);
  truth = [];
  await vi.advanceTimersByTimeAsync(CHECK_MS);
  expect(told).toEqual([start("a"), stop("a")]);
});

test("who can't be asked about has stopped", async () => {
  const { told, typists: here } = typists(() => Promise.reject(new Error("no connection")));
  here.heard(start("a"));
  await vi.advanceTimersByTimeAsync(CHECK_MS);
  expect(told).toEqual([start("a"), stop("a")]);
});

test("without a connection nobody types", () => {
  const { told, typists: here } = typists(async () => []);
  here.heard(start("a"));
  here.heard({ ...start("b"), conversation_id: "d" });
  here.end();
  expect(told.slice(2)).toEqual([stop("a"), { ...stop("b"), conversation_id: "d" }]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a start with each key is said every two seconds, and a stop only after a start", () => {
  const keys = new Keystrokes();
  expect(keys.stop("c")).toBe(false);
  expect([0, 100, 1900, 2000, 2100].map((now) => keys.start("c", now))).toEqual([true, false, false, true, false]);
  expect(keys.stop("c")).toBe(true);
  expect(keys.start("c", 2200)).toBe(true);
});
