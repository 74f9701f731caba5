/**
 * Every event of the gateway, as the READMEs of `gateway` and `publisher` describe them.
 * Types alone: nothing of this file is left in the built package.
 *
 * A backend may publish events of its own; a page says what they carry by merging:
 *
 *     declare module "pytake-realtime-client" {
 *       interface ServerEvents { "ticket:closed": { ticket_id: string } }
 *     }
 */

/** ISO 8601. */
export type Timestamp = string;

/** Where an event stands in its organization's history: `<epoch>-<seq>`. */
export type Offset = string;

/** Why a recovery that the client wanted was not possible. */
export type LossReason = "expired" | "unknown" | "epoch" | "trimmed" | "identity";

export interface Connected {
  message: string;
  user_id: string;
  recovered: boolean;
  reason?: LossReason;
}

export interface MessageNew {
  id: string;
  conversation_id: string;
  direction: "inbound" | "outbound";
  sender_type: string;
  message_type: string;
  content: Record<string, unknown>;
  status: string;
  whatsapp_message_id: string | null;
  created_at: Timestamp;
  sent_at?: Timestamp | null;
}

export interface MessageStatus {
  message_id: string;
  status: "sent" | "delivered" | "read" | "failed";
  timestamp: Timestamp;
  conversation_id: string;
}

export interface UserTyping {
  conversation_id: string;
  user_id: string;
  typing: boolean;
}

export interface UserStatus {
  user_id: string;
  status: "online" | "offline";
}

/** Many changes at once, in place of as many `user:status`. */
export interface UserStatuses {
  online: string[];
  offline: string[];
}

/** Who has a conversation open; `user_ids` names so many, `sockets` counts all of their tabs. */
export interface ConversationViewers {
  conversation_id: string;
  user_ids: string[];
  sockets: number;
}

/** What an inbox shows of a conversation without opening it. */
export interface ConversationUpdated {
  conversation_id: string;
  last_message_at: Timestamp;
  /** The beginning of its text; empty where it has none. */
  preview: string;
  message_type: string | null;
  unread?: number;
}

export interface UnreadUpdate {
  conversation_id: string;
  unread_count: number;
}

export interface NotificationNew {
  notification_id: string;
  type: string;
  subject: string;
  message: string;
  metadata: Record<string, unknown> | null;
  created_at: Timestamp;
}

export interface CampaignProgress {
  campaign_id: string;
  campaign_name: string;
  status: string;
  progress: unknown;
  stats: Record<string, unknown>;
  timestamp: Timestamp;
}

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

export interface EventError {
  code: ConnectCode | EventCode;
  message: string;
  /** The limit that was hit, where it was one. */
  limit?: string;
  retry_after_ms?: number;
}

/** What the server sends: name and payload. */
export interface ServerEvents {
  connected: Connected;
  "message:new": MessageNew;
  "message:status": MessageStatus;
  user_typing: UserTyping;
  "user:status": UserStatus;
  "user:statuses": UserStatuses;
  "conversation:viewers": ConversationViewers;
  "conversation:updated": ConversationUpdated;
  "conversation:unread_update": UnreadUpdate;
  "notification:new": NotificationNew;
  "campaign:progress": CampaignProgress;
  joined_conversation: JoinedConversation;
  left_conversation: { conversation_id: string };
  joined_room: JoinedRoom;
  left_room: { room: string };
  pong: { timestamp: Timestamp };
  "auth:expiring": { expires_at: Timestamp };
  error: EventError & { event: string };
}

/** An event out of a room's history. */
export type PastEvent = {
  [E in keyof ServerEvents]: { event: E; data: ServerEvents[E]; offset: Offset };
}[keyof ServerEvents];

export interface Joined {
  message: string;
  /** The socket is in the room from here on. */
  offset: Offset;
  /** Oldest first. */
  events: PastEvent[];
  /** Whether the history reaches back to `since`; where not, load from the REST API. */
  complete: boolean;
}
export interface JoinedConversation extends Joined {
  conversation_id: string;
}
export interface JoinedRoom extends Joined {
  room: string;
}

export interface JoinOptions {
  /** Everything after this offset, which was seen earlier, comes with the answer. */
  since?: Offset;
  /** The last n events come with the answer. */
  history?: number;
}

/** What a page sends: name, payload, and what the acknowledgement carries beside `ok`. */
export interface ClientEvents {
  join_conversation: { payload: { conversation_id: string } & JoinOptions; answer: JoinedConversation };
  leave_conversation: { payload: { conversation_id: string }; answer: { conversation_id: string } };
  join_room: { payload: { room: string } & JoinOptions; answer: JoinedRoom };
  leave_room: { payload: { room: string }; answer: { room: string } };
  typing_start: { payload: { conversation_id: string }; answer: object };
  typing_stop: { payload: { conversation_id: string }; answer: object };
  presence: { payload: { user_ids?: string[]; conversation_id?: string }; answer: Presence };
  "auth:refresh": { payload: { token: string }; answer: { expires_at: Timestamp } };
  ping: { payload: undefined; answer: { timestamp: Timestamp } };
}

/** `online` for a question about users, the others for one about a conversation. */
export interface Presence {
  online?: string[];
  user_ids?: string[];
  sockets?: number;
  typing?: string[];
}
