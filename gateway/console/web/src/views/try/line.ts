/**
 * The network of one window, and a switch that cuts it.
 *
 * It is cut below the client: open transports break off and new ones fail, as when a cable is pulled. The client knows
 * nothing of it; that it comes back, and with what, is its own doing.
 */
import { WebSocket, XHR } from "socket.io-client";

type Transports = (typeof WebSocket | typeof XHR)[];
/** What a transport keeps to itself and its subclasses. */
type Inside = { onError(reason: string, description: unknown): void; on(event: "close", heard: () => void): void };

export class Line {
  readonly transports: Transports;
  readonly #open = new Set<Inside>();
  readonly #listeners = new Set<() => void>();
  #cutAt: number | undefined;

  constructor() {
    const line = this;
    class Socket extends WebSocket {
      override doOpen() {
        if (line.#carries(this)) super.doOpen();
        return this;
      }
    }
    class Polling extends XHR {
      override doOpen() {
        if (line.#carries(this)) super.doOpen();
      }
    }
    this.transports = [Socket, Polling];
  }

  /** When it was cut (`Date.now()`); undefined while it is not. */
  get cutAt(): number | undefined {
    return this.#cutAt;
  }

  set(isUp: boolean): void {
    if (isUp === (this.#cutAt === undefined)) return;
    this.#cutAt = isUp ? undefined : Date.now();
    if (!isUp) for (const transport of [...this.#open]) transport.onError("the network is cut", undefined);
    for (const listener of this.#listeners) listener();
  }

  readonly subscribe = (changed: () => void): (() => void) => {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  };

  #carries(opened: unknown): boolean {
    const transport = opened as Inside;
    if (this.#cutAt !== undefined) {
      queueMicrotask(() => transport.onError("the network is cut", undefined));
      return false;
    }
    this.#open.add(transport);
    transport.on("close", () => this.#open.delete(transport));
    return true;
  }
}
