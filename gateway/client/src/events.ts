/**
 * Every event of the gateway. Made by `make docs` from `publisher/events`, so nothing is changed here.
 * Types alone: nothing of this file is left in the built package.
 *
 * A backend may publish events of its own; a page says what they carry by merging:
 *
 *     declare module "pytake-realtime-client" {
 *       interface ServerEvents { "ticket:closed": { ticket_id: string } }
 *     }
 */

/** ISO 8601, with a time zone. */
export type Timestamp = string;

/** Where an event stands in its organization's history: `<epoch>-<seq>`. */
export type Offset = string;

/** Why a recovery that the client wanted was not possible. */
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

/** One after which the same may well succeed later. */
export type RetryCode =
  | "too_many_connections"
  | "draining"
  | "rate_limited"
  | "internal"
  | "unavailable";

/** The answer to a join. */
export interface Joined {
  message: string;
  /** The socket is in the room from here on. */
  offset: Offset;
  /** Oldest first. */
  events: PastEvent[];
  /** Whether the history reaches back to `since`; where not, load from the REST API. */
  complete: boolean;
}

/** The options of a join about the room's history. */
export interface JoinOptions {
  /** Everything after it, which was seen earlier, comes with the answer. */
  since?: Offset;
  /** The last n events come with the answer. */
  history?: number;
}

/** Why something failed. */
export interface EventError {
  code: ConnectCode | EventCode;
  /** A plain word, for logs. */
  message: string;
  /** The limit that was hit, where it was one. */
  limit?: string;
  retry_after_ms?: number;
}

/** A message of a conversation, sent or received. */
export interface MessageNew {
  /** The message's; the same message is published once. */
  id: string;
  conversation_id: string;
  direction: "inbound" | "outbound";
  /** `contact`, `agent`, `bot`. */
  sender_type: string;
  /** WhatsApp's: `text`, `image`, `document`. */
  message_type: string;
  /** By `message_type`; of a text `{text}`. */
  content: Record<string, unknown>;
  /** `received`, or as `message:status` has it. */
  status: string;
  /** WhatsApp's own id; null until it has one. */
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

/** A conversation as an inbox shows it without opening it. */
export interface ConversationUpdated {
  conversation_id: string;
  last_message_at: Timestamp;
  /** The beginning of its text; empty where it has none. */
  preview: string;
  message_type: string | null;
  /** How many its reader has not read. */
  unread?: number;
}

/** The number of messages of a conversation that its user has not read. */
export interface UnreadUpdate {
  conversation_id: string;
  unread_count: number;
}

/** A notification for one user; `title`, `body`, `tag`, `icon` and `url` are for the desktop. */
export interface NotificationNew {
  /** The same notification is published once. */
  notification_id: string;
  type: string;
  subject: string;
  message: string;
  metadata: Record<string, unknown> | null;
  created_at: Timestamp;
  /** Plain text; `subject` where there is none. */
  title?: string;
  /** Plain text, shown on locked screens; `message` where there is none. */
  body?: string;
  /** One takes the place of an older one with it: the conversation's id. */
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
  /** As the backend counts it; a decimal arrives as text. */
  progress: unknown;
  stats: Record<string, unknown>;
  timestamp: Timestamp;
}

/** Somebody else types in a conversation, or does not any more. */
export interface UserTyping {
  conversation_id: string;
  user_id: string;
  typing: boolean;
}

/** A user came or went, with the first or the last of their sockets. */
export interface UserStatus {
  user_id: string;
  status: "offline" | "online";
}

/** Many changes at once, in place of as many `user:status`, for pages that say they take it. */
export interface UserStatuses {
  online: string[];
  offline: string[];
}

/** The users who have a conversation open. */
export interface ConversationViewers {
  conversation_id: string;
  /** So many of them as are named. */
  user_ids: string[];
  /** All of their tabs. */
  sockets: number;
}

/** The socket is in, and has been given all that it missed, if that was possible. */
export interface Connected {
  message: string;
  user_id: string;
  recovered: boolean;
  reason?: LossReason;
}

/** The socket is in a conversation. */
export interface JoinedConversation extends Joined {
  conversation_id: string;
}

/** The socket is not in a conversation any more: it asked to leave, or was put out. */
export interface LeftConversation {
  conversation_id: string;
}

/** The socket is in a room. */
export interface JoinedRoom extends Joined {
  room: string;
}

/** The socket is not in a room any more: it asked to leave, or was put out. */
export interface LeftRoom {
  room: string;
}

/** The gateway's clock. */
export interface Pong {
  timestamp: Timestamp;
}

/** The token ends within a minute: send `auth:refresh`, or the socket is closed then. */
export interface AuthExpiring {
  expires_at: Timestamp;
}

/** An event without an acknowledgement failed. */
export interface EventFailed extends EventError {
  /** Its name; `connect` when the socket is sent away for another. */
  event: string;
}

/** Join a conversation; who is in it already stays in, and gets an answer all the same. */
export interface JoinConversation extends JoinOptions {
  conversation_id: string;
}

/** Names a conversation. */
export interface ConversationRef {
  conversation_id: string;
}

/** Join a room of another kind (`GATEWAY_ROOM_KINDS`). */
export interface JoinRoom extends JoinOptions {
  room: string;
}

/** Names a room. */
export interface RoomRef {
  room: string;
}

/** A question for the users who are online, all or some, or for those who view a conversation. */
export interface PresenceQuery {
  user_ids?: string[];
  /** One that the socket is in. */
  conversation_id?: string;
}

/** `online` for a question about users, the others for one about a conversation. */
export interface Presence {
  online?: string[];
  conversation_id?: string;
  user_ids?: string[];
  sockets?: number;
  typing?: string[];
}

/** A fresh token of the same user and organization: rooms, id and history stay. */
export interface AuthRefresh {
  token: string;
}

/** The fresh token is in use. */
export interface AuthRefreshed {
  expires_at: Timestamp;
}

/** An event out of a room's history. */
export type PastEvent = {
  [E in keyof ServerEvents]: { event: E; data: ServerEvents[E]; offset: Offset };
}[keyof ServerEvents];

/** What the server sends: name and payload. */
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

/** What a page sends: name, payload, and what the acknowledgement carries beside `ok`. */
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
