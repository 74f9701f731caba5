import type { Connection } from "./connection.js";
import { pauseMs, RealtimeError } from "./errors.js";
import type { Joined, JoinOptions, Offset, PastEvent } from "./events.js";
import { later } from "./offsets.js";

/** What the rooms tell. */
export interface RoomsHearer {
  /** An event out of a room's history. */
  past(event: PastEvent): void;
  /** A room's history does not reach back to what was seen last. */
  incomplete(room: string): void;
  failed(error: RealtimeError): void;
}

interface Wanted {
  joined: boolean;
  /** Whether it was joined when the connection went. */
  wasJoined: boolean;
  /** Everything up to here was shown. */
  since: Offset | undefined;
  history: number | undefined;
  tries: number;
  timer?: ReturnType<typeof setTimeout>;
  answer: Promise<Joined>;
  resolve(answer: Joined): void;
  reject(error: RealtimeError): void;
}

const CONVERSATION = "conversation:";

/** The rooms that the page wants to be in, whether there is a connection or not. */
export class Rooms {
  readonly #connection: Connection;
  readonly #hearer: RoomsHearer;
  readonly #wanted = new Map<string, Wanted>();
  /** Left, but not confirmed: the gateway gives a page its rooms back, also after a loss. With what was asked last. */
  readonly #left = new Map<string, Promise<unknown> | undefined>();

  constructor(connection: Connection, hearer: RoomsHearer) {
    this.#connection = connection;
    this.#hearer = hearer;
  }

  /** Join now, or once there is a connection; the answer is that of the first time. */
  join(room: string, options: JoinOptions = {}): Promise<Joined> {
    const known = this.#wanted.get(room);
    if (known) return known.answer;
    let settle!: Pick<Wanted, "resolve" | "reject">;
    const answer = new Promise<Joined>((resolve, reject) => (settle = { resolve, reject }));
    // Nobody has to wait for it.
    answer.catch(() => {});
    const { since, history } = options;
    const wanted = { joined: false, wasJoined: false, since, history, tries: 0, answer, ...settle };
    this.#wanted.set(room, wanted);
    this.#left.delete(room);
    if (this.#connection.state === "online") this.#send(room, wanted);
    return answer;
  }

  leave(room: string): void {
    this.#forget(room, new RealtimeError("left"));
    if (this.#connection.state === "online") this.#sendLeave(room);
    else this.#left.set(room, undefined);
  }

  /** The gateway says that the page is not in it any more, and may not come back. */
  closed(room: string): void {
    this.#forget(room, new RealtimeError("forbidden"));
  }

  has(room: string): boolean {
    return this.#wanted.get(room)?.joined ?? false;
  }

  /** The connection is there; `recovered` with the rooms it had. Resolves once all rooms are joined, or refused. */
  up(recovered: boolean): Promise<unknown> {
    for (const room of this.#left.keys()) this.#sendLeave(room);
    for (const [room, wanted] of this.#wanted) {
      wanted.joined = recovered && wanted.wasJoined;
      if (!wanted.joined) this.#send(room, wanted);
    }
    return Promise.allSettled([...this.#wanted.values()].map((wanted) => wanted.answer));
  }

  /** The connection is gone; up to `offset` everything was shown in the rooms that were joined. */
  down(offset: Offset | undefined): void {
    for (const wanted of this.#wanted.values()) {
      clearTimeout(wanted.timer);
      if (wanted.joined) wanted.since = later(wanted.since, offset);
      wanted.wasJoined = wanted.joined;
      wanted.joined = false;
    }
  }

  clear(): void {
    for (const room of this.#wanted.keys()) this.#forget(room, new RealtimeError("left"));
    this.#left.clear();
  }

  #forget(room: string, error: RealtimeError): void {
    const wanted = this.#wanted.get(room);
    if (wanted) {
      clearTimeout(wanted.timer);
      this.#wanted.delete(room);
      wanted.reject(error);
    }
  }

  #send(room: string, wanted: Wanted): void {
    clearTimeout(wanted.timer);
    const { since, history } = wanted;
    const options = since ? { since } : history ? { history } : {};
    const heard = (answer: Joined) => {
      if (this.#wanted.get(room) !== wanted) return;
      wanted.joined = true;
      wanted.tries = 0;
      wanted.since = answer.offset;
      for (const event of answer.events) this.#hearer.past(event);
      if (!answer.complete) this.#hearer.incomplete(room);
      wanted.resolve(answer);
    };
    const ident = idOf(room);
    const asked: Promise<Joined> = ident
      ? this.#connection.ask("join_conversation", { conversation_id: ident, ...options }, heard)
      : this.#connection.ask("join_room", { room, ...options }, heard);
    asked.catch((error: RealtimeError) => this.#failed(room, wanted, error));
  }

  #failed(room: string, wanted: Wanted, error: RealtimeError): void {
    // Without a connection it is sent again once there is one.
    if (this.#wanted.get(room) !== wanted || error.code === "disconnected") return;
    this.#hearer.failed(error);
    if (error.retry) {
      const pause = Math.max(pauseMs(wanted.tries++), error.retryAfterMs ?? 0);
      wanted.timer = setTimeout(() => this.#send(room, wanted), pause);
    } else {
      this.#forget(room, error);
    }
  }

  #sendLeave(room: string): void {
    const ident = idOf(room);
    const asked: Promise<unknown> = ident
      ? this.#connection.ask("leave_conversation", { conversation_id: ident })
      : this.#connection.ask("leave_room", { room });
    this.#left.set(room, asked);
    const confirmed = () => {
      if (this.#left.get(room) === asked) this.#left.delete(room);
    };
    asked.then(confirmed, () => {});
  }
}

export function conversationRoom(conversationId: string): string {
  return CONVERSATION + conversationId;
}

/** The conversation that a room is of, if it is one. */
export function idOf(room: string): string | undefined {
  return room.startsWith(CONVERSATION) ? room.slice(CONVERSATION.length) : undefined;
}
