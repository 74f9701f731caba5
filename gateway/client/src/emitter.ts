type Listener = (data: never) => unknown;

/** Listeners by event. One that throws does not keep the others from hearing. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener>>();

  /** Listen; gives what stops it. */
  on<E extends keyof Events>(event: E, listener: (data: Events[E]) => unknown): () => void {
    let listeners = this.#listeners.get(event);
    if (!listeners) this.#listeners.set(event, (listeners = new Set()));
    listeners.add(listener);
    return () => this.off(event, listener);
  }

  /** Stop one listener, or all of an event. */
  off(event: keyof Events, listener?: Listener): void {
    if (listener) this.#listeners.get(event)?.delete(listener);
    else this.#listeners.delete(event);
  }

  emit<E extends keyof Events>(event: E, data: Events[E]): void {
    // A copy: a listener that is added by another one hears what comes next.
    const listeners = [...(this.#listeners.get(event) ?? [])];
    for (const listener of listeners) safely(() => listener(data as never));
  }
}

/** Call a page's function; what it throws is shown in the console and goes no further. */
export function safely(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    console.error(error);
  }
}
