/**
 * What was shown already, so that it is shown once: a message may come live and again out of a history, and a
 * backend may publish it twice.
 */
export class Seen {
  readonly #rooms = new Map<string, string>();
  readonly #limit: number;

  constructor(limit = 2000) {
    this.#limit = limit;
  }

  /** Tell whether none of these keys was seen before, and note them. The oldest are forgotten beyond the limit. */
  first(keys: string[], room: string): boolean {
    const fresh = !keys.some((key) => this.#rooms.has(key));
    for (const key of keys) this.#rooms.set(key, room);
    for (const key of this.#rooms.keys()) {
      if (this.#rooms.size <= this.#limit) break;
      this.#rooms.delete(key);
    }
    return fresh;
  }

  /** Forget what was seen of a room: a page that comes back to it may want its history again. */
  forget(room: string): void {
    for (const [key, of] of this.#rooms) if (of === room) this.#rooms.delete(key);
  }
}
