import { io, type ManagerOptions, type Socket } from "socket.io-client";

import { pauseMs, RealtimeError } from "./errors.js";
import type { ClientEvents, Connected, ConnectCode, EventError, Offset, Timestamp } from "./events.js";

/** `refused`: connecting again by itself would not help; `connect` starts anew. */
export type State = "idle" | "connecting" | "online" | "refused";

/** Why a token is asked for. After `refused` and for `expiring` a cached one is no good. */
export type TokenReason = "connect" | "expiring" | "refused";
export type TokenProvider = (why: TokenReason) => Promise<string | null | undefined>;

export interface ConnectionOptions {
  /** Where the gateway is; the page's own origin by default. */
  url?: string;
  path?: string;
  /** By name, or transports of one's own; websocket, then polling by default. */
  transports?: ManagerOptions["transports"];
  /** How long an answer may take. */
  ackTimeoutMs?: number;
  /** Pauses between attempts to come back. */
  reconnectionDelay?: number;
  reconnectionDelayMax?: number;
}

/** What the connection tells. `up` follows what a recovery brought, and comes before anything newer. */
export interface Hearer {
  state(state: State): void;
  up(greeting: Connected): void;
  down(): void;
  event(name: string, data: unknown, offset: Offset | undefined): void;
  refused(error: RealtimeError): void;
  failed(error: RealtimeError): void;
}

type Ask<E extends keyof ClientEvents> = ClientEvents[E]["payload"];
type Answer<E extends keyof ClientEvents> = ClientEvents[E]["answer"];

// After a token that ends no later than the one before it.
const ASK_AGAIN_MS = 20_000;
// A fresh token may be good where the last one was not.
const RENEWABLE = new Set(["token_expired", "token_invalid", "token_revoked"]);

/** The socket: its token, its refusals, and questions with an answer. What is joined on it is not known here. */
export class Connection {
  state: State = "idle";
  readonly #options: ConnectionOptions;
  readonly #hearer: Hearer;
  #socket: Socket | undefined;
  #source: string | TokenProvider = "";
  #attempt = 0;
  #failures = 0;
  #renewed = false;
  #parting: RealtimeError | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions, hearer: Hearer) {
    this.#options = options;
    this.#hearer = hearer;
  }

  open(source: string | TokenProvider): void {
    const before = this.#source;
    this.#source = source;
    if (this.state === "online") {
      if (typeof source === "string" && source !== before) void this.#refresh(source);
    } else if (!this.#socket?.active) {
      clearTimeout(this.#timer);
      this.#renewed = false;
      this.#failures = 0;
      this.#become("connecting");
      this.#socket ??= this.#made();
      this.#socket.connect();
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#attempt++;
    const socket = this.#socket;
    // Another user may be next: neither session nor offset may go along.
    this.#socket = undefined;
    socket?.offAny();
    socket?.off();
    socket?.disconnect();
    this.#leaveOnline("idle");
  }

  /** What the gateway calls this socket; the same again after a recovery. */
  get sid(): string | undefined {
    return this.#socket?.id;
  }

  /** Say something that needs no answer; nothing without a connection. */
  say<E extends keyof ClientEvents>(event: E, payload: Ask<E>): void {
    if (this.state === "online") this.#socket?.emit(event, payload);
  }

  /**
   * Ask and wait; rejects with a `RealtimeError`. `heard` gets the answer before anything that came behind it,
   * which `await` can't promise.
   */
  ask<E extends keyof ClientEvents>(
    event: E,
    payload: Ask<E>,
    heard?: (answer: Answer<E>) => void,
  ): Promise<Answer<E>> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      if (!socket?.connected) return reject(new RealtimeError("disconnected"));
      const acked = (error: Error | null, answer?: { ok: boolean; error: EventError } & Answer<E>) => {
        if (!answer) return reject(new RealtimeError(socket.connected ? "timeout" : "disconnected", error?.message));
        if (!answer.ok) return reject(RealtimeError.from(answer.error));
        heard?.(answer);
        resolve(answer);
      };
      socket.timeout(this.#options.ackTimeoutMs ?? 10_000).emit(event, payload, acked);
    });
  }

  #made(): Socket {
    const { url, path = "/socket.io", transports = ["websocket", "polling"] } = this.#options;
    const options = {
      path,
      transports,
      tryAllTransports: true,
      forceNew: true,
      autoConnect: false,
      reconnectionDelay: this.#options.reconnectionDelay ?? 1000,
      reconnectionDelayMax: this.#options.reconnectionDelayMax ?? 10_000,
      auth: (send: (auth: object) => void) => void this.#authenticate(send),
    };
    const socket = url === undefined ? io(options) : io(url, options);
    // A token that arrives now was asked for by a connection that is gone.
    socket.io.on("close", () => this.#attempt++);
    socket.on("connect_error", (error) => this.#onRefusal(error));
    socket.on("disconnect", (reason) => this.#onDisconnect(reason));
    socket.onAny((name: string, data: unknown, offset: unknown) => this.#onEvent(name, data, offset));
    return socket;
  }

  async #authenticate(send: (auth: object) => void): Promise<void> {
    const attempt = ++this.#attempt;
    try {
      const token = await this.#token(this.#renewed ? "refused" : "connect");
      if (attempt !== this.#attempt) return;
      if (token) send({ token, statuses: true });
      else this.#refuse(new RealtimeError("token_missing"));
    } catch (error) {
      if (attempt === this.#attempt) this.#later(new RealtimeError("token_unavailable", String(error)));
    }
  }

  async #token(why: TokenReason): Promise<string | null | undefined> {
    return typeof this.#source === "string" ? this.#source : this.#source(why);
  }

  /** `expiring`: when the token in use ends. One that ends then as well is no answer: the page is asked again. */
  async #refresh(given?: string, expiring?: Timestamp): Promise<void> {
    const attempt = this.#attempt;
    try {
      const token = given ?? (await this.#token("expiring"));
      if (!token) return;
      const { expires_at } = await this.ask("auth:refresh", { token });
      if (expires_at === expiring && attempt === this.#attempt) {
        const again = () => attempt === this.#attempt && void this.#refresh(undefined, expiring);
        this.#timer = setTimeout(again, ASK_AGAIN_MS);
      }
    } catch (error) {
      // Not the end: the connection lives until the old token ends, and comes back with a new one.
      const failed = error instanceof RealtimeError ? error : new RealtimeError("token_unavailable", String(error));
      this.#hearer.failed(failed);
    }
  }

  #onEvent(name: string, data: unknown, offset: unknown): void {
    if (name === "connected") {
      this.#renewed = false;
      this.#failures = 0;
      this.#parting = undefined;
      this.#become("online");
      this.#hearer.up(data as Connected);
    } else if (name === "auth:expiring") {
      if (typeof this.#source !== "string") void this.#refresh(undefined, (data as { expires_at: Timestamp }).expires_at);
    } else if (name === "error") {
      const error = data as EventError & { event?: string };
      // Said before the connection is closed from over there, which gives no reason of its own.
      if (error.event === "connect") this.#parting = RealtimeError.from(error);
      this.#hearer.failed(RealtimeError.from(error));
    }
    this.#hearer.event(name, data, typeof offset === "string" ? offset : undefined);
  }

  #onDisconnect(reason: string): void {
    if (reason === "io server disconnect") {
      this.#refuse(this.#parting ?? new RealtimeError("sent_away", "disconnected by the server"));
    } else {
      this.#leaveOnline("connecting");
    }
  }

  #onRefusal(error: Error & { data?: { code?: ConnectCode } }): void {
    const socket = this.#socket;
    // Nobody there: socket.io-client goes on trying by itself.
    if (!socket || socket.active) return;
    const refusal = new RealtimeError(error.data?.code ?? "internal", error.message);
    if (refusal.retry) {
      this.#later(refusal);
    } else if (RENEWABLE.has(refusal.code) && typeof this.#source !== "string" && !this.#renewed) {
      this.#renewed = true;
      socket.connect();
    } else {
      this.#refuse(refusal);
    }
  }

  #later(error: RealtimeError): void {
    this.#hearer.failed(error);
    this.#socket?.disconnect();
    this.#timer = setTimeout(() => this.#socket?.connect(), pauseMs(this.#failures++));
  }

  #refuse(error: RealtimeError): void {
    this.#socket?.disconnect();
    this.#leaveOnline("refused");
    this.#hearer.refused(error);
  }

  #leaveOnline(state: State): void {
    const wasOnline = this.state === "online";
    this.#become(state);
    if (wasOnline) this.#hearer.down();
  }

  #become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.#hearer.state(state);
  }
}
