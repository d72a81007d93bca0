// Is a history of operations on registers linearizable? The algorithm of Wing and Gong with Lowe's memory of visited
// configurations: try to linearize operations one by one, in an order that respects their times, and go back when
// nothing fits. Registers are independent, so each is checked alone.

import type { Operation } from "./fakes/store.js";

export interface HistoryEntry {
  client: number;
  op: Operation;
  /** What the client saw; null: no answer, the operation may or may not have taken effect, at any later time. */
  outcome: number | null;
  /** Positions in the order of all events of the history. */
  calledAt: number;
  /** Infinity without an answer. */
  returnedAt: number;
}

export interface Verdict {
  linearizable: boolean;
  /** A register whose history does not fit; null: all fit. */
  key: string | null;
  /** False: the search was cut off before it found an answer; then `linearizable` is meaningless. */
  decided: boolean;
}

const configurationsMax = 1_000_000;
const unseenNearMax = 3;

export function checkLinearizable(history: readonly HistoryEntry[]): Verdict {
  const byKey = new Map<string, HistoryEntry[]>();
  for (const entry of history) {
    // A read without an answer says nothing.
    if (entry.op.type === "get" && entry.outcome === null) continue;
    const list = byKey.get(entry.op.key);
    if (list === undefined) byKey.set(entry.op.key, [entry]);
    else list.push(entry);
  }
  for (const [key, entries] of byKey) {
    const found = checkInSteps(entries);
    if (found !== "yes") return { linearizable: false, key, decided: found === "no" };
  }
  return { linearizable: true, key: null, decided: true };
}

/**
 * Writes that had no answer and whose value nobody saw may be left out, and every one left out makes the search much
 * smaller. So first without them; then with those that may have made a swap fail; then with all.
 */
function checkInSteps(entries: readonly HistoryEntry[]): "yes" | "no" | "unknown" {
  const seen = seenOf(entries);
  const only = entries.filter((entry) => seen.has(entry));
  if (checkRegister(only) === "yes") return "yes";
  const near = nearFailedSwaps(entries, seen);
  const more = entries.filter((entry) => seen.has(entry) || near.has(entry));
  return checkRegister(more) === "yes" ? "yes" : checkRegister(entries);
}

/** Of the unseen writes, the last few that were called before a failed swap returned. */
function nearFailedSwaps(entries: readonly HistoryEntry[], seen: ReadonlySet<HistoryEntry>): Set<HistoryEntry> {
  const near = new Set<HistoryEntry>();
  for (const { op, outcome, returnedAt } of entries) {
    if (op.type !== "cas" || outcome !== 0) continue;
    const before = entries.filter((other) => !seen.has(other) && other.calledAt < returnedAt);
    before.sort((a, b) => b.calledAt - a.calledAt);
    for (const entry of before.slice(0, unseenNearMax)) near.add(entry);
  }
  return near;
}

/** All but the writes that had no answer and whose value nobody saw. */
function seenOf(entries: readonly HistoryEntry[]): Set<HistoryEntry> {
  const seen = new Set<number>();
  const kept = new Set<HistoryEntry>();
  for (let grown = true; grown; ) {
    grown = false;
    for (const entry of entries) {
      const { op, outcome } = entry;
      if (kept.has(entry)) continue;
      if (outcome === null && "value" in op && !seen.has(op.value)) continue;
      kept.add(entry);
      grown = true;
      if (op.type === "get" && outcome !== null) seen.add(outcome);
      if (op.type === "cas" && outcome !== 0) seen.add(op.expected);
    }
  }
  return kept;
}

/** The next value of the register, or null if the outcome cannot be at this value. */
function stepOf({ op, outcome }: HistoryEntry, value: number): number | null {
  if (op.type === "get") return outcome === value ? value : null;
  if (op.type === "put") return op.value;
  const swaps = value === op.expected;
  if (outcome === null) return swaps ? op.value : value;
  if (outcome === 1) return swaps ? op.value : null;
  return swaps ? null : value;
}

/** A call or a return in the list of all events of one register; linearizing an operation takes its two out. */
interface Link {
  id: number;
  entry: HistoryEntry;
  /** The return of a call; null for a return. */
  match: Link | null;
  prev: Link | null;
  next: Link | null;
}

function linkEvents(entries: readonly HistoryEntry[]): Link {
  const events: { at: number; link: Link }[] = [];
  entries.forEach((entry, id) => {
    const back: Link = { id, entry, match: null, prev: null, next: null };
    const call: Link = { id, entry, match: back, prev: null, next: null };
    events.push({ at: entry.calledAt, link: call }, { at: entry.returnedAt, link: back });
  });
  // Calls stand before returns without an answer, which all stand at infinity, in the order of their calls.
  events.sort((a, b) => (a.at === b.at ? a.link.id - b.link.id : a.at < b.at ? -1 : 1));
  const head: Link = { id: -1, entry: entries[0] as HistoryEntry, match: null, prev: null, next: null };
  let last = head;
  for (const { link } of events) {
    link.prev = last;
    last.next = link;
    last = link;
  }
  return head;
}

function lift(call: Link): void {
  unlink(call);
  unlink(call.match as Link);
}

function unlink(link: Link): void {
  if (link.prev !== null) link.prev.next = link.next;
  if (link.next !== null) link.next.prev = link.prev;
}

function unlift(call: Link): void {
  relink(call.match as Link);
  relink(call);
}

function relink(link: Link): void {
  if (link.prev !== null) link.prev.next = link;
  if (link.next !== null) link.next.prev = link;
}

function checkRegister(entries: readonly HistoryEntry[]): "yes" | "no" | "unknown" {
  if (entries.length === 0) return "yes";
  const head = linkEvents(entries);
  const done = new Uint32Array((entries.length + 31) >> 5);
  const seen = new Set<string>();
  const taken: { call: Link; value: number }[] = [];
  let value = 0;
  let at = head.next;
  for (;;) {
    // Everything that had an answer is linearized; what is left may never have happened.
    if (at === null || at.entry.returnedAt === Number.POSITIVE_INFINITY) {
      if (!hasAnswered(head)) return "yes";
    }
    if (at !== null && at.match !== null) {
      const next = stepOf(at.entry, value);
      if (next !== null && tryTake(done, at.id, next, seen)) {
        if (seen.size > configurationsMax) return "unknown";
        taken.push({ call: at, value });
        value = next;
        lift(at);
        at = head.next;
      } else {
        at = at.next;
      }
      continue;
    }
    // A return whose operation is not linearized: the last choice was wrong.
    const wrong = taken.pop();
    if (wrong === undefined) return "no";
    unlift(wrong.call);
    clearBit(done, wrong.call.id);
    value = wrong.value;
    at = wrong.call.next;
  }
}

function hasAnswered(head: Link): boolean {
  for (let link = head.next; link !== null; link = link.next) {
    if (link.entry.returnedAt !== Number.POSITIVE_INFINITY) return true;
  }
  return false;
}

function tryTake(done: Uint32Array, id: number, value: number, seen: Set<string>): boolean {
  setBit(done, id);
  const configuration = `${value}:${done.join()}`;
  if (seen.has(configuration)) {
    clearBit(done, id);
    return false;
  }
  seen.add(configuration);
  return true;
}

function setBit(bits: Uint32Array, at: number): void {
  bits[at >> 5] = (bits[at >> 5] as number) | (1 << (at & 31));
}

function clearBit(bits: Uint32Array, at: number): void {
  bits[at >> 5] = (bits[at >> 5] as number) & ~(1 << (at & 31));
}
