import type { UserTyping } from "./events.js";

type Timer = ReturnType<typeof setTimeout>;

const SAY_EVERY_MS = 2000;

/**
 * Who types where. The gateway ends typing by itself, but tells so at most once: after `checkMs` it is asked,
 * and who does not type any more, or can't be asked about, has stopped.
 */
export class Typists {
  readonly #typing = new Map<string, Map<string, Timer>>();
  readonly #checkMs: number;
  readonly #ask: (conversationId: string) => Promise<string[]>;
  readonly #tell: (typing: UserTyping) => void;

  constructor(
    checkMs: number,
    ask: (conversationId: string) => Promise<string[]>,
    tell: (typing: UserTyping) => void,
  ) {
    this.#checkMs = checkMs;
    this.#ask = ask;
    this.#tell = tell;
  }

  heard({ conversation_id, user_id, typing }: UserTyping): void {
    if (!typing) return this.#end(conversation_id, user_id);
    const users = this.#typing.get(conversation_id) ?? new Map<string, Timer>();
    this.#typing.set(conversation_id, users);
    const isNew = !users.has(user_id);
    clearTimeout(users.get(user_id));
    users.set(user_id, this.#timer(conversation_id, user_id));
    if (isNew) this.#tell({ conversation_id, user_id, typing: true });
  }

  /** All that type in a conversation. */
  in(conversationId: string): string[] {
    return [...(this.#typing.get(conversationId)?.keys() ?? [])];
  }

  /** Nothing is heard any more, of one conversation or of all: nobody types. */
  end(conversationId?: string): void {
    for (const [id, users] of this.#typing) {
      if (conversationId === undefined || id === conversationId) {
        for (const user of users.keys()) this.#end(id, user);
      }
    }
  }

  #timer(conversationId: string, userId: string): Timer {
    const timer = setTimeout(async () => {
      const typists = await this.#ask(conversationId).catch((): string[] => []);
      const users = this.#typing.get(conversationId);
      // Heard of again meanwhile: then there is another timer.
      if (users?.get(userId) !== timer) return;
      if (typists.includes(userId)) users.set(userId, this.#timer(conversationId, userId));
      else this.#end(conversationId, userId);
    }, this.#checkMs);
    return timer;
  }

  #end(conversation_id: string, user_id: string): void {
    const users = this.#typing.get(conversation_id);
    if (!users?.has(user_id)) return;
    clearTimeout(users.get(user_id));
    users.delete(user_id);
    if (!users.size) this.#typing.delete(conversation_id);
    this.#tell({ conversation_id, user_id, typing: false });
  }
}

/** What this page says of its own typing: a start with each key would be a message with each key. */
export class Keystrokes {
  readonly #said = new Map<string, number>();

  /** Whether a start is to be sent. */
  start(conversationId: string, now = Date.now()): boolean {
    if (now - (this.#said.get(conversationId) ?? -Infinity) < SAY_EVERY_MS) return false;
    this.#said.set(conversationId, now);
    return true;
  }

  /** Whether a stop is to be sent. */
  stop(conversationId: string): boolean {
    return this.#said.delete(conversationId);
  }

  clear(): void {
    this.#said.clear();
  }
}
