// A data plane and those who listen to it. The wake function exists before anyone can listen, so a wake that comes
// early is kept for the first listener.

import type { EngineOptions, NativeBinding, NativeEngine, NativeEvent } from "./binding.js";

type EventOf<T extends NativeEvent["type"]> = Extract<NativeEvent, { type: T }>;

export class Engine {
  readonly native: NativeEngine;
  readonly #listeners = new Map<NativeEvent["type"], (event: never) => void>();
  #onWake: (() => void) | null = null;
  #woken = false;

  /** Checks the options; `native.open()` opens. */
  constructor(binding: NativeBinding, options: EngineOptions) {
    this.native = new binding.NativeEngine(options, () => this.#wake());
  }

  #wake(): void {
    if (this.#onWake === null) this.#woken = true;
    else this.#onWake();
  }

  /** Who drains: it must call `native.drain()` each time. By default nobody does. */
  onWake(listener: () => void): void {
    this.#onWake = listener;
    if (!this.#woken) return;
    this.#woken = false;
    listener();
  }

  /** One listener for each type of event. */
  on<T extends NativeEvent["type"]>(type: T, listener: (event: EventOf<T>) => void): void {
    if (this.#listeners.has(type)) throw new Error(`${type} events have a listener already`);
    this.#listeners.set(type, listener as (event: never) => void);
  }

  /** Gives an event to its listener; false if there is none. */
  dispatch(event: NativeEvent): boolean {
    const listener = this.#listeners.get(event.type) as ((event: NativeEvent) => void) | undefined;
    listener?.(event);
    return listener !== undefined;
  }

  /** Drains and dispatches on every wake; for data planes without a replica. Events without a listener are ignored. */
  dispatchAll(): void {
    this.onWake(() => {
      for (const event of this.native.drain()) this.dispatch(event);
    });
  }
}
