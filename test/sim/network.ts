// The network of a simulation: messages are dropped, delayed, doubled and overtaken; links are cut one way or both.
// Payloads are taken from the sender's data plane when a message leaves, as the real links do it.

import { EntryKind } from "../../src/native/binding.js";
import type { Entry, MemberId, Message, ProposedEntry } from "../../src/raft/index.js";
import type { FakeEngine } from "./fakes/engine.js";
import { type EntryData, type FakeStore, isBatch } from "./fakes/store.js";
import type { Random } from "./random.js";
import type { Scheduler } from "./scheduler.js";

/** A member as the network sees it; a crashed one has no address. */
export interface Address {
  engine: FakeEngine;
  deliver(message: Message): void;
  /** Nobody listens where this member was. */
  refused(id: MemberId): void;
  snapshotSent(to: MemberId, arrived: boolean): void;
}

export interface NetworkConditions {
  dropChance: number;
  duplicateChance: number;
  delayMsMin: number;
  delayMsMax: number;
}

/** A message on the wire: the payloads beside it, and the store that belongs to a snapshot. */
interface Packet {
  message: Message;
  payloads: (EntryData | null)[];
  store: FakeStore | null;
}

/** A member dials again so long after a connection broke. */
const refusedMsMax = 60;
/** How much longer a snapshot takes than a message. */
const snapshotDelayFactor = 10;

export class Network {
  readonly #addresses = new Map<MemberId, Address>();
  /** Cut directions, as "from>to". */
  readonly #cut = new Set<string>();
  delivered = 0;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    readonly conditions: NetworkConditions,
  ) {}

  join(id: MemberId, address: Address): void {
    this.#addresses.set(id, address);
  }

  /** A process ended: the members that reach its machine find nobody listening. */
  leave(id: MemberId): void {
    this.#addresses.delete(id);
    for (const [other, address] of this.#addresses) {
      this.scheduler.after(this.random.between(1, refusedMsMax), () => {
        const isThere = this.#addresses.get(other) === address;
        const reaches = !this.#cut.has(`${other}>${id}`) && !this.#cut.has(`${id}>${other}`);
        if (isThere && reaches && !this.#addresses.has(id)) address.refused(id);
      });
    }
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  send(from: Address, messages: readonly Message[]): void {
    for (const message of messages) {
      const packet = pack(from.engine, message);
      if (packet === null) continue;
      this.#launch(from, packet);
      // A proposal that arrived twice would be executed twice: transports promise at most once for it.
      const mayRepeat = message.type !== "propose";
      if (mayRepeat && this.random.chance(this.conditions.duplicateChance)) {
        this.#launch(from, packet);
      }
    }
  }

  #launch(from: Address, packet: Packet): void {
    const { message } = packet;
    const isSnapshot = message.type === "snapshot";
    const { delayMsMin, delayMsMax, dropChance } = this.conditions;
    const delayMs = this.random.between(delayMsMin, delayMsMax) * (isSnapshot ? snapshotDelayFactor : 1);
    const lost = this.random.chance(dropChance) || this.#cut.has(`${message.from}>${message.to}`);
    if (lost && !isSnapshot) return;
    this.scheduler.after(delayMs, () => {
      const target = lost ? undefined : this.#addresses.get(message.to);
      const sender = this.#addresses.get(message.from);
      // The status is for the process that sent it; after a restart nobody asked for it.
      if (isSnapshot && sender === from) sender.snapshotSent(message.to, target !== undefined);
      if (target === undefined) return;
      this.delivered += 1;
      target.deliver(unpack(target.engine, packet));
    });
  }
}

/** null: a payload is gone, as the log moved on since raft wrote the message. */
function pack(engine: FakeEngine, message: Message): Packet | null {
  switch (message.type) {
    case "append":
      return packAppend(engine, message.entries, message);
    case "propose": {
      const payloads = message.entries.map(({ payload }) =>
        typeof payload === "number" ? engine.payloadData(payload) : (payload as EntryData | null),
      );
      return { message, payloads, store: null };
    }
    case "snapshot": {
      const store = engine.store.clone();
      const { confState } = message.snapshot;
      const snapshot = { index: store.appliedIndex, term: store.appliedTerm, confState };
      return { message: { ...message, snapshot }, payloads: [], store };
    }
    default:
      return { message, payloads: [], store: null };
  }
}

function packAppend(engine: FakeEngine, entries: readonly Entry[], message: Message): Packet | null {
  const payloads: (EntryData | null)[] = [];
  for (const { index, term } of entries) {
    const data = engine.entryData(index, term);
    if (data === null) return null;
    payloads.push(data);
  }
  return { message, payloads, store: null };
}

function unpack(engine: FakeEngine, { message, payloads, store }: Packet): Message {
  if (store !== null) engine.stageSnapshot(store);
  if (message.type === "append") {
    const entries = message.entries.map((entry, at) => received(engine, entry, payloads[at] ?? null));
    return { ...message, entries };
  }
  if (message.type === "propose") {
    const entries = message.entries.map((entry, at) => received(engine, entry, payloads[at] ?? null));
    return { ...message, entries };
  }
  return message;
}

function received<E extends ProposedEntry | Entry>(engine: FakeEngine, entry: E, data: EntryData | null): E {
  if (data === null || entry.kind === EntryKind.Empty) return { ...entry, payload: null };
  return { ...entry, payload: isBatch(data) ? engine.receivePayload(data) : data };
}
