// Simulated time: a heap of calls, ordered by time and then by the order in which they were made. Also the clocks that
// a member sees, which may run fast or slow and stop for ever when the member crashes.

import type { Clock, Timer } from "../../src/replica/clock.js";

interface Task {
  atMs: number;
  order: number;
  call: (() => void) | null;
}

export class Scheduler {
  readonly #heap: Task[] = [];
  #order = 0;
  nowMs = 0;
  /** Calls made so far. */
  steps = 0;

  after(ms: number, call: () => void): Timer {
    const task: Task = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, call };
    this.#push(task);
    return {
      cancel: () => {
        task.call = null;
      },
    };
  }

  /** Runs until `ms` have passed or nothing is left. */
  run(ms: number): void {
    const end = this.nowMs + ms;
    for (let task = this.#heap[0]; task !== undefined && task.atMs <= end; task = this.#heap[0]) {
      this.#pop();
      this.nowMs = task.atMs;
      if (task.call === null) continue;
      this.steps += 1;
      task.call();
    }
    this.nowMs = end;
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Task;
      if (!before(task, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = task;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Task;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      const right = heap[down + 1];
      if (right !== undefined && before(right, heap[down] as Task)) down += 1;
      const child = heap[down] as Task;
      if (!before(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
  }
}

function before(a: Task, b: Task): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** The clock of one run of one member. `rate` 1.1: its second lasts 1.1 simulated seconds. */
export class MemberClock implements Clock {
  #alive = true;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly rate: number,
  ) {}

  nowMs(): number {
    return this.scheduler.nowMs / this.rate;
  }

  after(ms: number, call: () => void): Timer {
    return this.scheduler.after(ms * this.rate, () => {
      if (this.#alive) call();
    });
  }

  every(ms: number, call: () => void): Timer {
    let timer = this.after(ms, tick);
    const self = this;
    function tick() {
      timer = self.after(ms, tick);
      call();
    }
    return { cancel: () => timer.cancel() };
  }

  /** The member crashed: nothing of it is called any more. */
  kill(): void {
    this.#alive = false;
  }
}
