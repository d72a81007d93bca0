// The append messages on their way to one follower, bounded in number and in payload bytes.

interface Inflight {
  /** Last index in the message. */
  index: number;
  bytes: number;
}

export class Inflights {
  readonly #messages: Inflight[] = [];
  #bytes = 0;

  constructor(
    private readonly messagesMax: number,
    private readonly bytesMax: number,
  ) {}

  /** Counts a message; the last one before the limit may pass the byte bound, as one entry may be of any size. */
  add(index: number, bytes: number): void {
    this.#messages.push({ index, bytes });
    this.#bytes += bytes;
  }

  /** The follower has everything up to index: forgets the messages that ended there or before. */
  freeUpTo(index: number): void {
    let freed = 0;
    for (const message of this.#messages) {
      if (message.index > index) break;
      this.#bytes -= message.bytes;
      freed += 1;
    }
    if (freed > 0) this.#messages.splice(0, freed);
  }

  reset(): void {
    this.#messages.length = 0;
    this.#bytes = 0;
  }

  get full(): boolean {
    return this.#messages.length >= this.messagesMax || this.#bytes >= this.bytesMax;
  }

  get count(): number {
    return this.#messages.length;
  }

  get bytes(): number {
    return this.#bytes;
  }
}
