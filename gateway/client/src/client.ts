import { Connection, type ConnectionOptions, type State, type TokenProvider } from "./connection.js";
import { Emitter, safely } from "./emitter.js";
import type { RealtimeError } from "./errors.js";
import type {
  CampaignProgress,
  Connected,
  ConversationViewers,
  Joined,
  JoinOptions,
  LossReason,
  MessageNew,
  MessageStatus,
  NotificationNew,
  Offset,
  ServerEvents,
  UserStatus,
  UserStatuses,
  UserTyping,
} from "./events.js";
import { Desktop, type DesktopOptions, type DesktopPermission } from "./notifications.js";
import { later } from "./offsets.js";
import { People } from "./people.js";
import { Polling } from "./polling.js";
import { conversationRoom, idOf, Rooms } from "./rooms.js";
import { Seen } from "./seen.js";
import { Keystrokes, Typists } from "./typing.js";

export interface RealtimeOptions extends ConnectionOptions {
  /** After how long without news it is asked whether somebody still types. */
  typingCheckMs?: number;
  /** How many events are remembered, to show each once. */
  remember?: number;
}

/**
 * Something was missed that can't be made good here: load it from the REST API.
 *
 * Without a `room` everything may have changed that no room's history brings back: notifications, unread counts,
 * the inbox. With one, that room's history does not reach back far enough.
 */
export interface Gap {
  reason: LossReason | "incomplete";
  room?: string;
  conversation_id?: string;
}

/** What this side adds to the events of the gateway. */
export interface LocalEvents {
  gap: Gap;
  state: State;
  refused: RealtimeError;
  failed: RealtimeError;
}

type AllEvents = ServerEvents & LocalEvents;
type LeftConversation = ServerEvents["left_conversation"];
type LeftRoom = ServerEvents["left_room"];
type Stop = () => void;

/** The page's side of the gateway. Making one does nothing yet, also on a server. */
export class RealtimeClient {
  readonly #emitter = new Emitter<AllEvents>();
  readonly #connection: Connection;
  readonly #rooms: Rooms;
  readonly #typists: Typists;
  readonly #people: People;
  readonly #seen: Seen;
  readonly #keystrokes = new Keystrokes();
  readonly #polling = new Polling();
  readonly #desktop = new Desktop();
  #offset: Offset | undefined;
  #wasUp = false;
  #wantsPresence = false;

  constructor(options: RealtimeOptions = {}) {
    const failed = (error: RealtimeError) => this.#emitter.emit("failed", error);
    this.#connection = new Connection(options, {
      state: (state) => this.#onState(state),
      up: (greeting) => this.#onUp(greeting),
      down: () => this.#onDown(),
      event: (name, data, offset) => this.#onEvent(name, data, offset),
      refused: (error) => this.#emitter.emit("refused", error),
      failed,
    });
    this.#rooms = new Rooms(this.#connection, {
      past: ({ event, data, offset }) => this.#deliver(event, data, offset),
      incomplete: (room) => this.#tellGap("incomplete", room),
      failed,
    });
    const asked = (conversation_id: string) =>
      this.#connection.ask("presence", { conversation_id }).then((answer) => answer.typing ?? []);
    const typing = (data: UserTyping) => this.#emitter.emit("user_typing", data);
    this.#typists = new Typists(options.typingCheckMs ?? 10_000, asked, typing);
    this.#people = new People((data) => this.#emitter.emit("user:status", data));
    this.#seen = new Seen(options.remember);
  }

  // -- the connection

  /**
   * Connect with a token, or with what gives one: it is asked at each connect, before the token ends, and once
   * more when one was refused. A connection that is there gets the new token.
   */
  connect(token: string | TokenProvider): void {
    this.#connection.open(token);
  }

  /** Disconnect for good, as at logout: rooms, offsets and who is online are forgotten, listeners stay. */
  disconnect(): void {
    this.#rooms.clear();
    this.#connection.close();
    this.#people.clear();
    this.#offset = undefined;
    this.#wasUp = false;
  }

  isConnected(): boolean {
    return this.#connection.state === "online";
  }

  get state(): State {
    return this.#connection.state;
  }

  /** For the backend's `skip_sid`: what this page has it publish need not come back here. Only while connected. */
  get sid(): string | undefined {
    return this.#connection.sid;
  }

  // -- rooms

  /**
   * Join a conversation, now or once there is a connection, and again after each loss, with what was missed.
   * Load the conversation when the promise is kept, and nothing falls in between. Nobody has to await it: it is
   * broken with a `RealtimeError` when the page leaves first or may not join.
   */
  joinConversation(conversationId: string, options?: JoinOptions): Promise<Joined> {
    return this.#rooms.join(conversationRoom(conversationId), options);
  }

  leaveConversation(conversationId: string): void {
    this.leaveRoom(conversationRoom(conversationId));
  }

  /** Join a room of another kind, such as `campaign:<uuid>`. */
  joinRoom(room: string, options?: JoinOptions): Promise<Joined> {
    return this.#rooms.join(room, options);
  }

  leaveRoom(room: string): void {
    this.#rooms.leave(room);
    this.#forget(room);
  }

  // -- listening: each gives what stops it, and works before `connect`

  on<E extends keyof AllEvents>(event: E, callback: (data: AllEvents[E]) => unknown): Stop {
    return this.#emitter.on(event, callback);
  }

  /** Stop one callback, or all of an event. */
  off(event: keyof AllEvents, callback?: (data: any) => unknown): void {
    this.#emitter.off(event, callback);
  }

  /** `M` for pages that have a type of their own, which nobody checks. */
  onNewMessage<M = MessageNew>(callback: (message: M) => unknown): Stop {
    return this.on("message:new", callback as (message: MessageNew) => unknown);
  }

  onMessageStatus<M = MessageStatus>(callback: (status: M) => unknown): Stop {
    return this.on("message:status", callback as (status: MessageStatus) => unknown);
  }

  /** Changes of who types; each start is followed by an end, whatever is lost. */
  onTyping(callback: (typing: UserTyping) => unknown): Stop {
    return this.on("user_typing", callback);
  }

  /** Changes of who is online, after everybody who is by now. */
  onUserStatus(callback: (status: UserStatus) => unknown): Stop {
    const stop = this.on("user:status", callback);
    this.#wantPresence();
    for (const user_id of this.#people.online()) callback({ user_id, status: "online" });
    return stop;
  }

  onViewers(callback: (viewers: ConversationViewers) => unknown): Stop {
    return this.on("conversation:viewers", callback);
  }

  onNotification(callback: (notification: NotificationNew) => unknown): Stop {
    return this.on("notification:new", callback);
  }

  onCampaignProgress(callback: (progress: CampaignProgress) => unknown): Stop {
    return this.on("campaign:progress", callback);
  }

  onGap(callback: (gap: Gap) => unknown): Stop {
    return this.on("gap", callback);
  }

  onState(callback: (state: State) => unknown): Stop {
    return this.on("state", callback);
  }

  /** The gateway lets this user not in (any more): log in anew, then `connect`. */
  onAuthError(callback: (error: RealtimeError) => unknown): Stop {
    return this.on("refused", callback);
  }

  /** Whatever else went wrong; what can be tried again is. */
  onError(callback: (error: RealtimeError) => unknown): Stop {
    return this.on("failed", callback);
  }

  // -- people

  startTyping(conversationId: string): void {
    if (!this.#rooms.has(conversationRoom(conversationId))) return;
    if (this.#keystrokes.start(conversationId)) {
      this.#connection.say("typing_start", { conversation_id: conversationId });
    }
  }

  stopTyping(conversationId: string): void {
    if (this.#keystrokes.stop(conversationId)) {
      this.#connection.say("typing_stop", { conversation_id: conversationId });
    }
  }

  typists(conversationId: string): string[] {
    return this.#typists.in(conversationId);
  }

  /** Who has a conversation open that this page is in. */
  viewers(conversationId: string): string[] {
    return this.#people.viewers(conversationId);
  }

  /** Ask who is online, of all or of these. Rejects with a `RealtimeError`, also without a connection. */
  async presence(userIds?: string[]): Promise<string[]> {
    const answer = await this.#connection.ask("presence", userIds ? { user_ids: userIds } : {});
    return answer.online ?? [];
  }

  /** Who is online as far as this page was told: something has to listen with `onUserStatus`. */
  onlineUsers(): string[] {
    return this.#people.online();
  }

  // -- beside the connection

  /** Call this every `everyMs` while there is no connection after `connect`, and never while there is one. */
  fallback(callback: () => unknown, everyMs = 30_000): Stop {
    return this.#polling.add(callback, everyMs);
  }

  /** Show notifications on the desktop. Call it when the user clicks something: the browser asks them. */
  enableNotifications(options: DesktopOptions = {}): Promise<DesktopPermission> {
    return this.#desktop.enable(options);
  }

  disableNotifications(): void {
    this.#desktop.disable();
  }

  // -- inside

  #onState(state: State): void {
    if (state === "idle") this.#polling.up();
    else if (state !== "online") this.#polling.down();
    this.#emitter.emit("state", state);
  }

  #onUp({ recovered, reason }: Connected): void {
    const joined = this.#rooms.up(recovered);
    if (this.#wantsPresence && !recovered) this.#snapshot();
    if (reason) this.#tellGap(reason);
    const called = this.#polling.up();
    // What came after the last call and before the first connection: nobody else tells of it.
    if (!this.#wasUp) void joined.then(() => called.forEach(safely));
    this.#wasUp = true;
  }

  #onDown(): void {
    this.#rooms.down(this.#offset);
    this.#keystrokes.clear();
    this.#typists.end();
  }

  #onEvent(name: string, data: unknown, offset: Offset | undefined): void {
    this.#offset = later(this.#offset, offset);
    // Unasked: leaving by oneself is answered with an acknowledgement.
    if (name === "left_conversation") this.#closed(conversationRoom((data as LeftConversation).conversation_id));
    if (name === "left_room") this.#closed((data as LeftRoom).room);
    this.#deliver(name as keyof ServerEvents, data as never, offset);
  }

  #deliver<E extends keyof ServerEvents>(event: E, data: ServerEvents[E], offset: Offset | undefined): void {
    if (event !== "connected" && !this.#seen.first(keysOf(event, data, offset), roomOf(data))) return;
    switch (event) {
      // These three tell by themselves what has changed.
      case "user_typing":
        return this.#typists.heard(data as UserTyping);
      case "user:status":
        return this.#people.changed(data as UserStatus);
      case "user:statuses":
        this.#people.changedTogether(data as UserStatuses);
        break;
      case "conversation:viewers":
        this.#people.look(data as ConversationViewers);
        break;
      case "notification:new":
        this.#desktop.show(data as NotificationNew);
    }
    this.#emitter.emit(event, data as AllEvents[E]);
  }

  #closed(room: string): void {
    this.#rooms.closed(room);
    this.#forget(room);
  }

  #forget(room: string): void {
    const conversationId = idOf(room);
    this.#seen.forget(conversationId ?? room.slice(room.indexOf(":") + 1));
    if (conversationId === undefined) return;
    this.#keystrokes.stop(conversationId);
    this.#typists.end(conversationId);
    this.#people.lookAway(conversationId);
  }

  #wantPresence(): void {
    if (this.#wantsPresence) return;
    this.#wantsPresence = true;
    if (this.isConnected()) this.#snapshot();
  }

  #snapshot(): void {
    // At the next connection otherwise.
    this.#connection
      .ask("presence", {}, (answer) => this.#people.snapshot(answer.online ?? []))
      .catch((error: RealtimeError) => this.#emitter.emit("failed", error));
  }

  #tellGap(reason: Gap["reason"], room?: string): void {
    const conversation_id = room && idOf(room);
    this.#emitter.emit("gap", {
      reason,
      ...(room ? { room } : {}),
      ...(conversation_id ? { conversation_id } : {}),
    });
  }
}

type Ids = Partial<Record<"id" | "notification_id" | "conversation_id" | "campaign_id", string>>;

/** What an event is known by: its offset, and the id of what it brings, which may come under another offset. */
function keysOf(event: string, data: unknown, offset: Offset | undefined): string[] {
  const { id, notification_id } = (data ?? {}) as Ids;
  const ident = event === "message:new" ? id : event === "notification:new" ? notification_id : undefined;
  return [...(offset ? [`${event} ${offset}`] : []), ...(ident ? [`${event} ${ident}`] : [])];
}

/** What names the room in a payload: the conversation, or the campaign. */
function roomOf(data: unknown): string {
  const { conversation_id, campaign_id } = (data ?? {}) as Ids;
  return conversation_id ?? campaign_id ?? "";
}
