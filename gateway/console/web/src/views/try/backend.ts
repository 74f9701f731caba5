/**
 * What is PyTake's in real life: it keeps the unread counts, talks to WhatsApp, and publishes. Here this page plays it,
 * over the gateway's HTTP API, which has the publisher's verbs.
 */
import type { MessageNew, MessageStatus, PastEvent } from "pytake-realtime-client";

import type { Http } from "../../api/http";
import type { Demo, Minted } from "../../api/types";
import { newId } from "./chat";

const TOKEN_S = 900;
const HISTORY = 200;
const REMEMBERED = 500;

export interface Draft {
  id: string;
  text: string;
}

type Sender = Pick<MessageNew, "direction" | "sender_type" | "status"> & { sender_id?: string };

export class Backend {
  readonly #http: Http;
  readonly #demo: Demo;
  readonly conversation: string;
  readonly agents: readonly string[];
  /** Unread messages of each agent. */
  readonly #unread = new Map<string, number>();
  readonly #publishedAt = new Map<string, number>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(http: Http, demo: Demo, conversation: string) {
    this.#http = http;
    this.#demo = demo;
    this.conversation = conversation;
    this.agents = demo.people.map(({ user_id }) => user_id);
  }

  async token(user: string, role: string): Promise<string> {
    const asked = { user_id: user, organization_id: this.#demo.organization_id, role, ttl_s: TOKEN_S };
    return (await this.#http.post<Minted>("/console/api/tokens", asked)).token;
  }

  /** An agent sends: kept, published to the others, handed to WhatsApp. Gives when it was published. */
  send(draft: Draft, sender_id: string, sid: string | undefined): Promise<number> {
    return this.#publish(draft, { direction: "outbound", sender_type: "agent", status: "sent", sender_id }, sid);
  }

  /** The contact writes; agents who do not look at the conversation have one more unread, and a notification. */
  async receive(draft: Draft, viewers: readonly string[]): Promise<number> {
    const at = await this.#publish(draft, { direction: "inbound", sender_type: "contact", status: "received" });
    const { id, text } = draft;
    const away = this.agents.filter((user) => !viewers.includes(user));
    const events = away.flatMap((user) => [this.#oneMore(user), this.#notification(user, id, text)]);
    if (events.length) await this.#inTurn(() => this.#http.post("/api/v1/events", events));
    return at;
  }

  /** What WhatsApp tells of a message. */
  tick(message_id: string, status: MessageStatus["status"]): Promise<unknown> {
    const asked = { ...this.#where, message_id, status };
    return this.#inTurn(() => this.#http.post("/api/v1/message_status", asked));
  }

  /** An agent has read what there is. */
  read(user: string): Promise<unknown> {
    this.#unread.set(user, 0);
    const asked = { ...this.#where, user_id: user, unread_count: 0 };
    return this.#inTurn(() => this.#http.post("/api/v1/unread_update", asked));
  }

  /** Another page may have counted, too. */
  noteUnread(user: string, count: number): void {
    this.#unread.set(user, count);
  }

  /** The conversation as it is kept. */
  async load(): Promise<PastEvent[]> {
    const path = `/api/v1/rooms/conversation:${this.conversation}`;
    const query = { organization_id: this.#demo.organization_id, history: HISTORY };
    return (await this.#http.get<{ events: PastEvent[] }>(path, query)).events;
  }

  /** How long ago this page had a message published; undefined where another one did. */
  sincePublished(id: string): number | undefined {
    const at = this.#publishedAt.get(id);
    return at === undefined ? undefined : performance.now() - at;
  }

  get #where() {
    return { organization_id: this.#demo.organization_id, conversation_id: this.conversation };
  }

  #publish({ id, text }: Draft, sender: Sender, skip_sid: string | null = null): Promise<number> {
    return this.#inTurn(async () => {
      const now = Date.now();
      const message: MessageNew = {
        id,
        conversation_id: this.conversation,
        message_type: "text",
        content: { text },
        whatsapp_message_id: `wamid.${id.replaceAll("-", "")}`,
        created_at: new Date(now).toISOString(),
        ...sender,
      };
      this.#note(id);
      const asked = { organization_id: this.#demo.organization_id, message, inbox: this.agents, skip_sid };
      await this.#http.post("/api/v1/message_new", asked);
      return now;
    });
  }

  #note(id: string): void {
    this.#publishedAt.set(id, performance.now());
    const [oldest] = this.#publishedAt.keys();
    if (this.#publishedAt.size > REMEMBERED && oldest !== undefined) this.#publishedAt.delete(oldest);
  }

  #oneMore(user: string) {
    const unread_count = (this.#unread.get(user) ?? 0) + 1;
    this.#unread.set(user, unread_count);
    const data = { conversation_id: this.conversation, unread_count };
    return this.#event("conversation:unread_update", data, user);
  }

  #notification(user: string, message: string, text: string) {
    const data = {
      notification_id: newId(),
      type: "message",
      subject: "WhatsApp",
      message: text,
      metadata: { conversation_id: this.conversation, message_id: message },
      created_at: new Date().toISOString(),
    };
    return { ...this.#event("notification:new", data, user), key: `notification:new:${data.notification_id}` };
  }

  #event(event: string, data: object, user: string) {
    return { organization_id: this.#demo.organization_id, event, data, to: [`user:${user}`] };
  }

  /** One after the other: requests at the same time might overtake each other. */
  #inTurn<T>(ask: () => Promise<T>): Promise<T> {
    const asked = this.#last.then(ask);
    this.#last = asked.catch(() => {});
    return asked;
  }
}
