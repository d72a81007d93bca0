// The paper's invariants under a random network: three to five members, messages taken in any order, lost and doubled,
// writes that finish late, crashes that lose what was not written. Driven by fast-check, so that a failure shrinks.

import fc from "fast-check";
import { expect, test } from "vitest";
import { type Entry, EntryKind, type Message, Raft, type Ready, type RestoredState } from "../index.js";
import { confOf } from "./member.js";

interface Write {
  seq: number;
  ready: Ready;
}

/** What is on the disk of one member. */
interface Disk {
  term: number;
  vote: bigint;
  commit: number;
  entries: Entry[];
}

class Member {
  raft!: Raft;
  readonly disk: Disk = { term: 0, vote: 0n, commit: 0, entries: [] };
  writes: Write[] = [];
  held: Write[] = [];
  applied = 0;

  constructor(
    readonly id: bigint,
    readonly voters: bigint[],
  ) {
    this.boot();
  }

  boot(): void {
    this.writes = [];
    this.held = [];
    const { term, vote, commit, entries } = this.disk;
    const restored: RestoredState = {
      hardState: { term, vote, commit },
      confState: confOf(this.voters),
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: [...entries],
      applied: 0,
    };
    this.applied = 0;
    this.raft = new Raft(
      {
        id: this.id,
        electionTicks: 3,
        heartbeatTicks: 1,
        preVote: this.id % 2n === 0n,
        checkQuorum: true,
        leaseReads: false,
        messageBytesMax: 3,
        inflightMessagesMax: 2,
        inflightBytesMax: 100,
        uncommittedBytesMax: 1000,
        random: () => Number(this.id) % 3,
      },
      restored,
    );
  }

  finishWrite({ ready }: Write): void {
    const { hardState, entries } = ready;
    if (hardState !== null) Object.assign(this.disk, hardState);
    for (const entry of entries) {
      this.disk.entries.length = entry.index - 1;
      this.disk.entries.push(entry);
    }
  }
}

class World {
  readonly members: Member[];
  readonly wire: Message[] = [];
  readonly leaders = new Map<number, bigint>();
  readonly committed: Entry[] = [];
  proposals = 0;

  constructor(size: number) {
    const ids = Array.from({ length: size }, (_, at) => BigInt(at + 1));
    this.members = ids.map((id) => new Member(id, ids));
  }

  member(pick: number): Member {
    return this.members[pick % this.members.length] as Member;
  }

  /** Takes what raft wants done; writes wait until they are finished. */
  drain(member: Member): void {
    const { raft } = member;
    while (raft.hasReady) {
      const ready = raft.ready();
      for (const message of ready.messages) this.wire.push(withPayloads(member, message));
      const write = { seq: ready.seq, ready };
      if (ready.persist) member.writes.push(write);
      else if (ready.messagesAfterPersist.length > 0) member.held.push(write);
      this.apply(member, ready.committedUpTo);
    }
    this.checkLeader(member);
  }

  apply(member: Member, upTo: number): void {
    for (let index = member.applied + 1; index <= upTo; index += 1) {
      const entry = withPayload(member, member.raft.entryAt(index) as Entry);
      const known = this.committed[index];
      // State-machine safety.
      if (known !== undefined) expect(entry).toEqual(known);
      this.committed[index] = entry;
      member.raft.applied(index);
      member.applied = index;
    }
  }

  /** Election safety and leader completeness. */
  checkLeader({ raft, id }: Member): void {
    if (raft.role !== "leader") return;
    const known = this.leaders.get(raft.term);
    if (known === id) return;
    expect(known).toBeUndefined();
    this.leaders.set(raft.term, id);
    for (const entry of this.committed) {
      if (entry !== undefined && entry.term < raft.term) {
        expect(raft.entryTerm(entry.index)).toBe(entry.term);
      }
    }
  }

  /** Log matching: from a shared entry down, two logs are the same. */
  checkLogs(): void {
    for (const a of this.members) {
      for (const b of this.members) {
        if (a.id >= b.id) continue;
        let same = false;
        const last = Math.min(a.raft.status().lastIndex, b.raft.status().lastIndex);
        for (let index = last; index > 0; index -= 1) {
          const x = a.raft.entryAt(index) as Entry;
          const y = b.raft.entryAt(index) as Entry;
          if (same) expect(x.term).toBe(y.term);
          if (x.term !== y.term) continue;
          same = true;
          expect(withPayload(a, x)).toEqual(withPayload(b, y));
        }
      }
    }
  }

  persist(member: Member): void {
    const write = member.writes.shift();
    if (write === undefined) return;
    member.finishWrite(write);
    const due = [write, ...member.held.filter(({ seq }) => seq <= write.seq)];
    member.held = member.held.filter(({ seq }) => seq > write.seq);
    for (const { ready } of due) this.wire.push(...ready.messagesAfterPersist);
    member.raft.persisted(write.seq);
    this.drain(member);
  }

  deliver(at: number, keep: boolean): void {
    if (this.wire.length === 0) return;
    const index = at % this.wire.length;
    const message = this.wire[index] as Message;
    if (!keep) this.wire.splice(index, 1);
    const member = this.member(Number(message.to) - 1);
    if (message.type === "propose") member.raft.propose(message.entries);
    else member.raft.step(message);
    this.drain(member);
  }

  crash(member: Member, kept: number): void {
    // A prefix of the writes in flight has reached the disk.
    for (const write of member.writes.slice(0, kept % (member.writes.length + 1))) {
      member.finishWrite(write);
    }
    member.boot();
    this.drain(member);
  }

  propose(member: Member): void {
    this.proposals += 1;
    const entry = { kind: EntryKind.Batch, bytes: 1, payload: this.proposals, leavesJoint: false };
    member.raft.propose([entry]);
    this.drain(member);
  }
}

/** After a restart raft has only metadata; the content is on the disk, where a transport takes it from. */
function withPayload({ disk }: Member, entry: Entry): Entry {
  if (entry.payload !== null || entry.kind === EntryKind.Empty) return entry;
  const stored = disk.entries[entry.index - 1];
  expect(stored?.term).toBe(entry.term);
  return { ...entry, payload: stored?.payload };
}

function withPayloads(member: Member, message: Message): Message {
  if (message.type !== "append") return message;
  return { ...message, entries: message.entries.map((entry) => withPayload(member, entry)) };
}

const pick = fc.nat({ max: 1000 });
const action = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant("deliver" as const), pick, times: fc.integer({ min: 1, max: 6 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("persist" as const), pick, times: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("tick" as const), pick, times: fc.integer({ min: 1, max: 6 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("propose" as const), pick, times: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("repeat" as const), pick, times: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lose" as const), pick, times: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), pick, times: fc.constant(1) }) },
);

function run(world: World, step: { do: string; pick: number; times: number }): void {
  const member = world.member(step.pick);
  for (let i = 0; i < step.times; i += 1) {
    if (step.do === "deliver") world.deliver(step.pick + i, false);
    else if (step.do === "repeat") world.deliver(step.pick, true);
    else if (step.do === "lose") world.wire.splice(step.pick % (world.wire.length + 1), 1);
    else if (step.do === "persist") world.persist(member);
    else if (step.do === "propose") world.propose(member);
    else if (step.do === "crash") world.crash(member, step.pick);
    else {
      member.raft.tick();
      world.drain(member);
    }
  }
}

test("the paper's invariants hold under any order of messages, writes and crashes", () => {
  let elections = 0;
  let commits = 0;
  fc.assert(
    fc.property(
      fc.integer({ min: 3, max: 5 }),
      fc.array(action, { minLength: 50, maxLength: 400, size: "max" }),
      (size, actions) => {
        const world = new World(size);
        for (const step of actions) run(world, step);
        world.checkLogs();
        elections += world.leaders.size;
        commits += world.committed.length;
      },
    ),
    { numRuns: 300 },
  );
  // Runs in which nothing is ever elected or committed would prove nothing.
  expect(elections).toBeGreaterThan(100);
  expect(commits).toBeGreaterThan(100);
});
