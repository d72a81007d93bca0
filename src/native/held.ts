// The memory of requests that are not answered yet. Anybody can send them, and what they wait for (a leader, their turn
// among logins, the rest of their call) may take its time.

import { limits } from "../limits.js";

export class HeldRequests {
  #bytes = 0;

  /** What one request takes; null: too much is held already. */
  hold(bytes: number): HeldRequest | null {
    // One always may, however large it is.
    if (this.#bytes > 0 && this.#bytes + bytes > limits.heldRequestBytesMax) return null;
    this.#bytes += bytes;
    let held = bytes;
    return {
      release: () => {
        this.#bytes -= held;
        held = 0;
      },
    };
  }
}

export interface HeldRequest {
  /** The request is answered, or nobody will answer it. May be called again. */
  release(): void;
}
