// The only way the replica knows time: handed in, so that a simulation can drive it.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. */
  nowMs(): number;
  /** Calls once after `ms`. */
  after(ms: number, call: () => void): Timer;
  /** Calls every `ms` until cancelled. */
  every(ms: number, call: () => void): Timer;
}

/** The clock of the process. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms, call) {
    const timer = setInterval(call, ms);
    return { cancel: () => clearInterval(timer) };
  },
};
