import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Polling } from "../src/polling.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("it is called only while there is no connection", async () => {
  const call = vi.fn<() => void>();
  const polling = new Polling();
  polling.add(call, 1000);
  await vi.advanceTimersByTimeAsync(5000);
  expect(call).toHaveBeenCalledTimes(0);
  polling.down();
  await vi.advanceTimersByTimeAsync(3000);
  expect(call).toHaveBeenCalledTimes(3);
  expect(polling.up()).toEqual([call]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(call).toHaveBeenCalledTimes(3);
});

test("it is not called again before it is done, and a failure does not end it", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const call = vi.fn<() => Promise<void>>(async () => {
    await new Promise((done) => setTimeout(done, 5000));
    throw new Error("the REST API is away, too");
  });
  const polling = new Polling();
  polling.down();
  polling.add(call, 1000);
  await vi.advanceTimersByTimeAsync(5900);
  expect(call).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1200);
  expect(call).toHaveBeenCalledTimes(2);
});

test("what was stopped is not called, and not named", async () => {
  const call = vi.fn<() => void>();
  const polling = new Polling();
  polling.down();
  const stop = polling.add(call, 1000);
  stop();
  await vi.advanceTimersByTimeAsync(3000);
  expect(call).toHaveBeenCalledTimes(0);
  expect(polling.up()).toEqual([]);
});
