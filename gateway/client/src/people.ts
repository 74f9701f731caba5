import type { ConversationViewers, UserStatus, UserStatuses } from "./events.js";

/** Who is online, and who looks at which conversation, out of snapshots and of what changes. */
export class People {
  readonly #online = new Set<string>();
  readonly #viewers = new Map<string, ConversationViewers>();
  readonly #tell: (status: UserStatus) => void;

  constructor(tell: (status: UserStatus) => void) {
    this.#tell = tell;
  }

  changed({ user_id, status }: UserStatus): void {
    if ((status === "online") === this.#online.has(user_id)) return;
    if (status === "online") this.#online.add(user_id);
    else this.#online.delete(user_id);
    this.#tell({ user_id, status });
  }

  changedTogether({ online, offline }: UserStatuses): void {
    for (const user_id of offline) this.changed({ user_id, status: "offline" });
    for (const user_id of online) this.changed({ user_id, status: "online" });
  }

  /** These are online, and nobody else. */
  snapshot(online: string[]): void {
    const here = new Set(online);
    this.changedTogether({ online, offline: [...this.#online].filter((user) => !here.has(user)) });
  }

  isOnline(userId: string): boolean {
    return this.#online.has(userId);
  }

  online(): string[] {
    return [...this.#online];
  }

  look(viewers: ConversationViewers): void {
    this.#viewers.set(viewers.conversation_id, viewers);
  }

  lookAway(conversationId: string): void {
    this.#viewers.delete(conversationId);
  }

  viewers(conversationId: string): string[] {
    return this.#viewers.get(conversationId)?.user_ids ?? [];
  }

  clear(): void {
    this.#online.clear();
    this.#viewers.clear();
  }
}
