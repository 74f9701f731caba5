/**
 * All events of the gateway. `make docs` makes this file from `publisher/events`: do not edit it.
 * It has only types, so no code of it is in the built package.
 *
 * A backend may publish events of its own. A page declares their payloads by declaration merging:
 *
 *     declare module "pytake-realtime-client" {
 *       interface ServerEvents { "ticket:closed": { ticket_id: string } }
 *     }
 */

/** ISO 8601, with a time zone. */
export type Timestamp = string;

/** An event's place in its organization's history: `<epoch>-<seq>`. */
export type Offset = string;

/** The reason why the client's session could not be recovered. */
export type LossReason = "expired" | "unknown" | "epoch" | "trimmed" | "identity";

/** A code of a refusal at connect. */
export type ConnectCode =
  | "token_missing"
  | "token_invalid"
  | "token_expired"
  | "token_revoked"
  | "tenant_missing"
  | "too_many_connections"
  | "draining";

/** A code of an event that failed. */
export type EventCode =
  | "bad_request"
  | "unknown_event"
  | "forbidden"
  | "not_joined"
  | "too_many_rooms"
  | "rate_limited"
  | "internal"
  | "unavailable";

/** A code after which the same request may succeed later. */
export type RetryCode =
  | "too_many_connections"
  | "draining"
  | "rate_limited"
  | "internal"
  | "unavailable";

/** The answer to a join. */
export interface Joined {
  message: string;
  /** The socket gets the room's events after this offset. */
  offset: Offset;
  /** Oldest first. */
  events: PastEvent[];
  /** Whether no event after `since` is missing; if false, load from the REST API. */
  complete: boolean;
}

/** The options of a join that ask for the room's history. */
export interface JoinOptions {
  /** Offset that the client has seen; the answer has the events after it. */
  since?: Offset;
  /** The answer has this many last events. */
  history?: number;
}

/** The reason for which an event failed. */
export interface EventError {
  code: ConnectCode | EventCode;
  /** The reason in words, for logs. */
  message: string;
  /** The limit that was hit, if one was. */
  limit?: string;
  retry_after_ms?: number;
}

/** A message of a conversation, sent or received. */
export interface MessageNew {
  /** The message's id; each id is published once. */
  id: string;
  conversation_id: string;
  direction: "inbound" | "outbound";
  /** Such as `contact`, `agent` or `bot`. */
  sender_type: string;
  /** WhatsApp's type, such as `text`, `image` or `document`. */
  message_type: string;
  /** Depends on `message_type`; `{text}` for a text. */
  content: Record<string, unknown>;
  /** `received`, or a status of `message:status`. */
  status: string;
  /** WhatsApp's id of it; null until it has one. */
  whatsapp_message_id: string | null;
  created_at: Timestamp;
  sent_at?: Timestamp | null;
}

/** The status of a message. It never goes back to an earlier one, and a failure is final. */
export interface MessageStatus {
  message_id: string;
  status: "delivered" | "failed" | "read" | "sent";
  timestamp: Timestamp;
  conversation_id: string;
}

/** The last message of a conversation, as an inbox shows it while the conversation is not open. */
export interface ConversationUpdated {
  conversation_id: string;
  last_message_at: Timestamp;
  /** Beginning of its text; empty without text. */
  preview: string;
  message_type: string | null;
  /** Messages that the reader has not read. */
  unread?: number;
}

/** The number of messages in a conversation that the user has not read. */
export interface UnreadUpdate {
  conversation_id: string;
  unread_count: number;
}

/** A notification for one user; `title`, `body`, `tag`, `icon` and `url` are for the desktop. */
export interface NotificationNew {
  /** Each id is published once. */
  notification_id: string;
  type: string;
  subject: string;
  message: string;
  metadata: Record<string, unknown> | null;
  created_at: Timestamp;
  /** Plain text; without it, `subject` is shown. */
  title?: string;
  /** Plain text, shown on locked screens; without it, `message` is shown. */
  body?: string;
  /** Replaces an older one with the same tag, such as the conversation's id. */
  tag?: string;
  /** Absolute URL of a picture. */
  icon?: string;
  /** The page that a click opens. */
  url?: string;
}

/** The progress of a campaign. */
export interface CampaignProgress {
  campaign_id: string;
  campaign_name: string;
  status: string;
  /** In the backend's own unit; a decimal arrives as text. */
  progress: unknown;
  stats: Record<string, unknown>;
  timestamp: Timestamp;
}

/** A user types in a conversation, or has stopped. */
export interface UserTyping {
  conversation_id: string;
  user_id: string;
  typing: boolean;
}

/** A user came online with the first socket, or went offline with the last one. */
export interface UserStatus {
  user_id: string;
  status: "offline" | "online";
}

/** Many changes at once, instead of many `user:status`, for sockets that connected with `statuses: true`. */
export interface UserStatuses {
  online: string[];
  offline: string[];
}

/** The users who have a conversation open. */
export interface ConversationViewers {
  conversation_id: string;
  /** At most 50 of the users. */
  user_ids: string[];
  /** Sockets of all the users: one for each tab. */
  sockets: number;
}

/** The socket is connected, and has got all events that it missed, if a recovery was possible. */
export interface Connected {
  message: string;
  user_id: string;
  recovered: boolean;
  reason?: LossReason;
}

/** The socket has joined a conversation. */
export interface JoinedConversation extends Joined {
  conversation_id: string;
}

/** The socket is no longer in a conversation: it asked to leave, or was removed. */
export interface LeftConversation {
  conversation_id: string;
}

/** The socket has joined a room. */
export interface JoinedRoom extends Joined {
  room: string;
}

/** The socket is no longer in a room: it asked to leave, or was removed. */
export interface LeftRoom {
  room: string;
}

/** The gateway's time at which it answered a `ping`. */
export interface Pong {
  timestamp: Timestamp;
}

/** The token ends within a minute: send `auth:refresh` before, or the socket is closed. */
export interface AuthExpiring {
  expires_at: Timestamp;
}

/** An event failed that asked for no acknowledgement. */
export interface EventFailed extends EventError {
  /** Its name; `connect` if the socket's user has too many sockets. */
  event: string;
}

/** Join a conversation; a socket that is in it already gets an answer, too. */
export interface JoinConversation extends JoinOptions {
  conversation_id: string;
}

/** A request about one conversation. */
export interface ConversationRef {
  conversation_id: string;
}

/** Join a room of another kind (`GATEWAY_ROOM_KINDS`). */
export interface JoinRoom extends JoinOptions {
  room: string;
}

/** A request about one room. */
export interface RoomRef {
  room: string;
}

/** Ask which users are online, all or some of them, or who views a conversation and types in it. */
export interface PresenceQuery {
  user_ids?: string[];
  /** A conversation that the socket is in. */
  conversation_id?: string;
}

/** The answer to `presence`: `online` about users, or all other keys about a conversation. */
export interface Presence {
  online?: string[];
  conversation_id?: string;
  user_ids?: string[];
  sockets?: number;
  typing?: string[];
}

/** Replace the token by a new one of the same user and organization; rooms, id and history stay. */
export interface AuthRefresh {
  token: string;
}

/** The new token is in use. */
export interface AuthRefreshed {
  expires_at: Timestamp;
}

/** An event of a room's history. */
export type PastEvent = {
  [E in keyof ServerEvents]: { event: E; data: ServerEvents[E]; offset: Offset };
}[keyof ServerEvents];

/** Events that the server sends: name and payload. */
export interface ServerEvents {
  "message:new": MessageNew;
  "message:status": MessageStatus;
  "conversation:updated": ConversationUpdated;
  "conversation:unread_update": UnreadUpdate;
  "notification:new": NotificationNew;
  "campaign:progress": CampaignProgress;
  user_typing: UserTyping;
  "user:status": UserStatus;
  "user:statuses": UserStatuses;
  "conversation:viewers": ConversationViewers;
  connected: Connected;
  joined_conversation: JoinedConversation;
  left_conversation: LeftConversation;
  joined_room: JoinedRoom;
  left_room: LeftRoom;
  pong: Pong;
  "auth:expiring": AuthExpiring;
  error: EventFailed;
}

/** Events that a page sends: name, payload, and the fields of the acknowledgement besides `ok`. */
export interface ClientEvents {
  join_conversation: { payload: JoinConversation; answer: JoinedConversation };
  leave_conversation: { payload: ConversationRef; answer: LeftConversation };
  join_room: { payload: JoinRoom; answer: JoinedRoom };
  leave_room: { payload: RoomRef; answer: LeftRoom };
  typing_start: { payload: ConversationRef; answer: object };
  typing_stop: { payload: ConversationRef; answer: object };
  presence: { payload: PresenceQuery; answer: Presence };
  "auth:refresh": { payload: AuthRefresh; answer: AuthRefreshed };
  ping: { payload: undefined; answer: Pong };
}

/** An acknowledgement. */
export type Ack<E extends keyof ClientEvents> =
  | ({ ok: true } & ClientEvents[E]["answer"])
  | { ok: false; error: EventError };

/** For plain `socket.io-client`: `const socket: Socket<Listeners, Emitters> = io(url, { auth })`. */
export type Listeners = {
  [E in keyof ServerEvents]: (data: ServerEvents[E], offset?: Offset) => void;
};
export type Emitters = {
  [E in keyof ClientEvents]: undefined extends ClientEvents[E]["payload"]
    ? (ack?: (answer: Ack<E>) => void) => void
    : (payload: ClientEvents[E]["payload"], ack?: (answer: Ack<E>) => void) => void;
};
