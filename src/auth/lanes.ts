// Jobs of many that wait for few who do them: each address has a lane, and the lanes take turns, so that one that has
// thousands of jobs delays another's by one job, not by thousands. Where there is no room for more of them, those of the
// longest lane pay: a flood from some addresses is not to keep everybody else out.

import { rpcError } from "../errors.js";
import { limits } from "../limits.js";

interface Job {
  start(): void;
  refuse(error: Error): void;
}

export class Lanes {
  /** In order of their turns; none is empty. */
  readonly #lanes = new Map<string, Job[]>();
  #running = 0;
  #waiting = 0;

  constructor(private readonly width: number) {}

  /** Runs the job when it is its turn. Rejects with tooManyRequests if too many wait. */
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
    if (waiting.length >= limits.laneJobsMax || !this.#hasRoom(waiting.length)) {
      return Promise.reject(rpcError("tooManyRequests"));
    }
    this.#lanes.set(lane, waiting);
    this.#waiting += 1;
    return new Promise((start, refuse) => waiting.push({ start, refuse }));
  }

  /** Whether there is room for one more in a lane of this length; a much longer one may make it. */
  #hasRoom(length: number): boolean {
    if (this.#waiting < limits.waitingJobsMax) return true;
    const longest = [...this.#lanes.values()].reduce((long, lane) => (lane.length > long.length ? lane : long), []);
    if (longest.length <= length + 1) return false;
    longest.pop()?.refuse(rpcError("tooManyRequests"));
    this.#waiting -= 1;
    return true;
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
    const job = waiting.shift();
    if (waiting.length > 0) this.#lanes.set(lane, waiting);
    this.#waiting -= 1;
    job?.start();
  }

  get waiting(): number {
    return this.#waiting;
  }
}
