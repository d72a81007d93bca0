// Jobs of many that wait for few who do them: each address has a lane, and the lanes take turns, so that one that has
// thousands of jobs delays another's by one job, not by thousands.

import { rpcError } from "../errors.js";
import { limits } from "../limits.js";

export class Lanes {
  /** In order of their turns. */
  readonly #lanes = new Map<string, (() => void)[]>();
  #running = 0;
  #waiting = 0;

  constructor(private readonly width: number) {}

  /** Runs the job when it is its turn. Rejects with tooManyRequests, at once, if too many wait. */
  async run<T>(lane: string, job: () => Promise<T>): Promise<T> {
    if (this.#running >= this.width) await this.#turn(lane);
    else this.#running += 1;
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #turn(lane: string): Promise<void> {
    const waiting = this.#lanes.get(lane) ?? [];
    if (waiting.length >= limits.laneJobsMax || this.#waiting >= limits.waitingJobsMax) {
      return Promise.reject(rpcError("tooManyRequests"));
    }
    this.#lanes.set(lane, waiting);
    this.#waiting += 1;
    return new Promise((resolve) => waiting.push(resolve));
  }

  /** The place of a job that has ended goes to the first of the lane whose turn it is. */
  #next(): void {
    const first = this.#lanes.entries().next();
    if (first.done) {
      this.#running -= 1;
      return;
    }
    const [lane, waiting] = first.value;
    this.#lanes.delete(lane);
    const start = waiting.shift();
    if (waiting.length > 0) this.#lanes.set(lane, waiting);
    this.#waiting -= 1;
    start?.();
  }

  get waiting(): number {
    return this.#waiting;
  }
}
