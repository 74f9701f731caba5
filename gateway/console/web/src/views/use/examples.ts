/** What a backend publishes, to begin with: the shapes of the gateway's README. */
import { newId, parts } from "../../lib/ids";

export const EVENTS = [
  "message:new",
  "message:status",
  "conversation:unread_update",
  "notification:new",
  "campaign:progress",
] as const;

type Known = (typeof EVENTS)[number];

export function isKnown(event: string): event is Known {
  return EVENTS.includes(event as Known);
}

/** Give an example of what an event carries; any other name begins with nothing. */
export function example(event: string, room: string): unknown {
  const id = parts(room)[1] || newId();
  const now = new Date().toISOString();
  if (!isKnown(event)) return {};
  const examples: Record<Known, object> = {
    "message:new": {
      id: newId(),
      conversation_id: id,
      direction: "inbound",
      sender_type: "contact",
      message_type: "text",
      content: { text: "Olá!" },
      status: "received",
      whatsapp_message_id: null,
      created_at: now,
    },
    "message:status": { message_id: newId(), status: "delivered", timestamp: now, conversation_id: id },
    "conversation:unread_update": { conversation_id: newId(), unread_count: 3 },
    "notification:new": {
      notification_id: newId(),
      type: "info",
      subject: "Olá",
      message: "Uma mensagem",
      metadata: {},
      created_at: now,
    },
    "campaign:progress": {
      campaign_id: id,
      campaign_name: "Black Friday",
      status: "running",
      progress: 42,
      stats: { sent: 420, total: 1000 },
      timestamp: now,
    },
  };
  return examples[event];
}
