// What waits for the control plane: events, and marks that may wait a little longer when nobody else does.

import type { NativeEvent } from "../../../src/native/binding.js";
import type { Clock } from "../../../src/replica/clock.js";

export class FakeEvents {
  #waiting: NativeEvent[] = [];
  #wakeDue = false;
  #patient = false;
  #marksDue = false;
  /** The control plane waits until this is applied. */
  #awaited = Number.POSITIVE_INFINITY;
  #applied = 0;

  constructor(
    private readonly clock: Clock,
    private readonly timing: { wakeMs(): number; marksMs(): number },
    private readonly wake: () => void,
  ) {}

  drain(): NativeEvent[] {
    this.#wakeDue = false;
    return this.#waiting.splice(0);
  }

  emit(event: NativeEvent): void {
    this.#waiting.push(event);
    this.#wakeSoon();
  }

  #wakeSoon(): void {
    if (this.#wakeDue) return;
    this.#wakeDue = true;
    this.clock.after(this.timing.wakeMs(), () => {
      if (this.#wakeDue) this.wake();
    });
  }

  /** Whether marks may wait. */
  set patient(patient: boolean) {
    this.#patient = patient;
    if (!patient && this.#waiting.length > 0) this.#wakeSoon();
  }

  mark(event: NativeEvent): void {
    if (!this.#patient) {
      this.emit(event);
      return;
    }
    this.#waiting.push(event);
    if (this.#marksDue) return;
    this.#marksDue = true;
    this.clock.after(this.timing.marksMs(), () => {
      this.#marksDue = false;
      if (this.#waiting.length > 0) this.wake();
    });
  }

  applied(index: number): void {
    this.#applied = index;
    this.mark({ type: "applied", index });
    this.#wakeIfAwaited();
  }

  awaitApplied(index: number): void {
    this.#awaited = Math.min(index, this.#awaited);
    this.#wakeIfAwaited();
  }

  #wakeIfAwaited(): void {
    if (this.#applied < this.#awaited) return;
    this.#awaited = Number.POSITIVE_INFINITY;
    this.#wakeSoon();
  }
}
