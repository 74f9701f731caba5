interface Poller {
  call: () => unknown;
  everyMs: number;
  called: boolean;
  timer?: ReturnType<typeof setTimeout>;
}

/** What is called every so often while there is no connection, and never while there is one. */
export class Polling {
  readonly #pollers = new Set<Poller>();
  #isDown = false;

  /** Call every `everyMs`, but not before the call before is over; gives what stops it. */
  add(call: () => unknown, everyMs: number): () => void {
    const poller: Poller = { call, everyMs, called: false };
    this.#pollers.add(poller);
    if (this.#isDown) this.#wait(poller);
    return () => {
      clearTimeout(poller.timer);
      this.#pollers.delete(poller);
    };
  }

  down(): void {
    if (this.#isDown) return;
    this.#isDown = true;
    for (const poller of this.#pollers) this.#wait(poller);
  }

  /** Stop calling; gives those that were called meanwhile. */
  up(): (() => unknown)[] {
    this.#isDown = false;
    const called = [...this.#pollers].filter((poller) => poller.called);
    for (const poller of this.#pollers) {
      clearTimeout(poller.timer);
      poller.called = false;
    }
    return called.map((poller) => poller.call);
  }

  #wait(poller: Poller): void {
    clearTimeout(poller.timer);
    poller.timer = setTimeout(async () => {
      poller.called = true;
      try {
        await poller.call();
      } catch (error) {
        console.error(error);
      }
      if (this.#isDown && this.#pollers.has(poller)) this.#wait(poller);
    }, poller.everyMs);
  }
}
