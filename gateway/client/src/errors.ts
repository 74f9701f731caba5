import type { ConnectCode, EventCode, EventError, RetryCode } from "./events.js";

/** What only this side can say: no connection, no answer in time, no token to be had, room left, sent away. */
export type LocalCode = "disconnected" | "timeout" | "token_unavailable" | "left" | "sent_away";

const RETRY: Record<RetryCode | "timeout" | "token_unavailable", true> = {
  too_many_connections: true,
  draining: true,
  rate_limited: true,
  internal: true,
  unavailable: true,
  timeout: true,
  token_unavailable: true,
};

/** A refusal, by the gateway or here. `retry`: the same may well succeed later. */
export class RealtimeError extends Error {
  override readonly name = "RealtimeError";
  readonly code: ConnectCode | EventCode | LocalCode;
  readonly retry: boolean;
  /** When it makes sense to try again, where the gateway said so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ConnectCode | EventCode | LocalCode, message: string = code, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retry = Object.hasOwn(RETRY, code);
    this.retryAfterMs = retryAfterMs;
  }

  static from(error: EventError): RealtimeError {
    return new RealtimeError(error.code, error.message, error.retry_after_ms);
  }
}

/** The pause before the n-th try, from 0 on: 1 s, 2 s, 4 s, up to half a minute, half of it at random. */
export function pauseMs(tries: number, random: () => number = Math.random): number {
  const most = Math.min(1000 * 2 ** tries, 30_000);
  return most / 2 + (random() * most) / 2;
}
