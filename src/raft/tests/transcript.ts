// Transcripts: text files of commands and the output that was expected, for a handful of raft members that are driven
// by hand. A block is the command's line, "----", the output, and an empty line. A line that starts with # is a comment.

import {
  type ConfChange,
  type ConfChangeStep,
  type Entry,
  EntryKind,
  type EntryMeta,
  type Grant,
  type Message,
  type ProposedEntry,
  type Raft,
  type RaftOptions,
  type Ready,
} from "../index.js";
import { confOf, raftOf } from "./member.js";

interface Member {
  raft: Raft;
  inbox: Message[];
  /** Writes that are on their way to disk. */
  writes: { seq: number; held: Message[] }[];
  held: { seq: number; held: Message[] }[];
  applied: number;
  payloads: Map<number, Entry>;
}

const kindNames = ["empty", "batch", "control", "conf"] as const;

function entryText({ index, term, kind, payload }: Entry): string {
  const content = typeof payload === "string" ? ` "${payload}"` : "";
  return `${term}/${index} ${kindNames[kind]}${content}`;
}

function messageText(message: Message): string {
  const { type, from, to, term, ...rest } = message;
  const fields = Object.entries(rest).map(([name, value]) => {
    if (name === "entries") {
      const entries = (value as (Entry | ProposedEntry)[]).map((entry) =>
        "index" in entry ? entryText(entry) : `${kindNames[entry.kind]}`,
      );
      return `entries=[${entries.join(", ")}]`;
    }
    if (name === "snapshot") {
      const { index, term, confState } = value as { index: number; term: number; confState: object };
      return `snapshot=${term}/${index} ${confText(confState as never)}`;
    }
    return `${name}=${value}`;
  });
  return [`${from}->${to} ${type} term=${term}`, ...fields].join(" ");
}

function grantText({ term, nextIndex, quorum }: Grant): string {
  if (quorum === null) return `grant term=${term} next=${nextIndex} sole voter`;
  const { ownVote, committed, members } = quorum;
  const others = members.map(({ id, votes, matched }) => `${id}${votes ? "" : " (learner)"}:${matched}`).join(" ");
  return `grant term=${term} next=${nextIndex} votes=${ownVote} committed=${committed} others=(${others})`;
}

function confText(conf: {
  voters: bigint[];
  votersOutgoing: bigint[];
  learners: bigint[];
  learnersNext: bigint[];
  autoLeave: boolean;
}): string {
  const parts = [`voters=(${conf.voters.join(" ")})`];
  if (conf.votersOutgoing.length > 0) parts.push(`outgoing=(${conf.votersOutgoing.join(" ")})`);
  if (conf.learners.length > 0) parts.push(`learners=(${conf.learners.join(" ")})`);
  if (conf.learnersNext.length > 0) parts.push(`learnersNext=(${conf.learnersNext.join(" ")})`);
  if (conf.autoLeave) parts.push("autoLeave");
  return parts.join(" ");
}

export class Transcript {
  readonly #members = new Map<bigint, Member>();
  readonly #options: Partial<RaftOptions> = {};
  readonly #cut = new Set<string>();
  #output: string[] = [];

  /** Runs one command; returns what it printed. */
  run(line: string): string {
    this.#output = [];
    const [name, ...args] = line.trim().split(/\s+/);
    const command = this.#commands[name ?? ""];
    if (command === undefined) throw new Error(`unknown command ${line}`);
    try {
      command(args);
    } catch (error) {
      this.#print(`error: ${(error as Error).message}`);
    }
    return this.#output.length === 0 ? "ok" : this.#output.join("\n");
  }

  #print(text: string): void {
    this.#output.push(text);
  }

  #member(text: string | undefined): Member {
    const member = this.#members.get(BigInt(text ?? "0"));
    if (member === undefined) throw new Error(`no member ${text}`);
    return member;
  }

  readonly #commands: Record<string, (args: string[]) => void> = {
    /** set preVote=true uncommittedBytesMax=100: options of members created after it. */
    set: (args) => {
      for (const arg of args) {
        const [name, value] = arg.split("=") as [string, string];
        const parsed = value === "true" ? true : value === "false" ? false : Number(value);
        Object.assign(this.#options, { [name]: parsed });
      }
    },
    add: (args) => this.#add(args),
    campaign: ([id]) => this.#member(id).raft.campaign(),
    tick: ([id, count]) => {
      for (let i = 0; i < Number(count ?? 1); i += 1) this.#member(id).raft.tick();
    },
    propose: ([id, text, bytes]) => {
      const entry = this.#proposed(EntryKind.Batch, text ?? "", Number(bytes ?? text?.length ?? 0));
      this.#print(this.#member(id).raft.propose([entry]));
    },
    conf: ([id, ...steps]) => this.#proposeConf(id, steps),
    transfer: ([id, to]) => this.#member(id).raft.transferLeader(BigInt(to ?? 0)),
    readindex: ([id, context]) => this.#print(`${this.#member(id).raft.readIndex(Number(context))}`),
    forget: ([id]) => this.#member(id).raft.forgetLeader(),
    gone: ([id, peer]) => this.#member(id).raft.memberGone(BigInt(peer ?? 0)),
    unreachable: ([id, peer]) => this.#member(id).raft.reportUnreachable(BigInt(peer ?? 0)),
    snapshotsent: ([id, peer, arrived]) => this.#member(id).raft.reportSnapshot(BigInt(peer ?? 0), arrived === "true"),
    compact: ([id, index]) => this.#member(id).raft.compact(Number(index)),
    floor: ([id]) => this.#print(`${this.#member(id).raft.retentionFloor}`),
    ready: ([id]) => this.#ready(BigInt(id ?? 0), true),
    persisted: ([id]) => this.#persisted(this.#member(id)),
    deliver: ([id]) => this.#deliver(this.#member(id), true),
    drop: ([id]) => {
      for (const message of this.#member(id).inbox.splice(0)) this.#print(messageText(message));
    },
    cut: (ids) => this.#cutAll(ids),
    heal: () => this.#cut.clear(),
    stabilize: () => this.#stabilize(true),
    settle: () => this.#stabilize(false),
    status: ([id]) => this.#status(this.#member(id).raft),
    progress: ([id]) => this.#progress(this.#member(id).raft),
    grant: ([id]) => {
      const grant = this.#member(id).raft.takeGrant();
      this.#print(grant === null ? "none" : grantText(grant));
    },
    stamp: ([id, ...entries]) => {
      const metas = entries.map((text): EntryMeta => {
        const [term, index] = text.split("/").map(Number) as [number, number];
        return { index, term, kind: EntryKind.Batch, bytes: 10 };
      });
      this.#member(id).raft.appendGranted(metas);
    },
    stable: ([id, text]) => {
      const [term, index] = (text ?? "").split("/").map(Number) as [number, number];
      this.#member(id).raft.stableTo(index, term);
    },
    withdrawn: ([id]) => this.#member(id).raft.grantWithdrawn(),
    expired: ([id]) => this.#print(`${this.#member(id).raft.grantExpired}`),
  };

  /** add 1 2 3 voters=1,2,3 learners=4: members with an empty log in this configuration. */
  #add(args: string[]): void {
    const named = (name: string) =>
      (args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1) ?? "")
        .split(",")
        .filter((text) => text !== "")
        .map(BigInt);
    for (const id of args.filter((arg) => !arg.includes("=")).map(BigInt)) {
      const raft = raftOf(
        { id, random: () => Number(id) % 10, ...this.#options },
        { confState: confOf(named("voters"), named("learners")) },
      );
      const member = { raft, inbox: [], writes: [], held: [], applied: 0, payloads: new Map() };
      this.#members.set(id, member);
    }
  }

  #proposed(kind: EntryKind, payload: unknown, bytes: number): ProposedEntry {
    return { kind, bytes, payload, leavesJoint: false };
  }

  /** conf 1 [joint|explicit] +4 ~5 -2: add voter, add learner, remove; conf 1 leave. */
  #proposeConf(id: string | undefined, words: string[]): void {
    const change: ConfChange = { transition: "auto", steps: [] };
    for (const word of words) {
      if (word === "joint") change.transition = "jointImplicit";
      else if (word === "explicit") change.transition = "jointExplicit";
      else if (word !== "leave") {
        const types = { "+": "addVoter", "~": "addLearner", "-": "remove" } as const;
        const type = types[word[0] as keyof typeof types];
        const step: ConfChangeStep = { type, id: BigInt(word.slice(1)) };
        change.steps.push(step);
      }
    }
    const entry = this.#proposed(EntryKind.ConfChange, change, 8);
    this.#print(this.#member(id).raft.propose([{ ...entry, leavesJoint: words[0] === "leave" }]));
  }

  #cutAll(ids: string[]): void {
    for (const id of ids) {
      for (const other of this.#members.keys()) {
        this.#cut.add(`${id}>${other}`);
        this.#cut.add(`${other}>${id}`);
      }
    }
  }

  #ready(id: bigint, verbose: boolean): boolean {
    const member = this.#member(`${id}`);
    if (!member.raft.hasReady) {
      if (verbose) this.#print("nothing");
      return false;
    }
    const ready = member.raft.ready();
    if (verbose) this.#printReady(id, ready);
    this.#send(ready.messages);
    const write = { seq: ready.seq, held: ready.messagesAfterPersist };
    if (ready.persist) member.writes.push(write);
    else if (write.held.length > 0) member.held.push(write);
    this.#apply(member, ready.committedUpTo);
    return true;
  }

  #printReady(id: bigint, ready: Ready): void {
    const { softState, hardState, snapshot } = ready;
    const parts = [`ready ${id}`];
    if (ready.persist) parts.push(`seq=${ready.seq}`);
    if (softState !== null) parts.push(`role=${softState.role} lead=${softState.lead}`);
    if (hardState !== null) {
      parts.push(`hard=(term ${hardState.term} vote ${hardState.vote} commit ${hardState.commit})`);
    }
    if (snapshot !== null) parts.push(`snapshot=${snapshot.term}/${snapshot.index}`);
    parts.push(`apply<=${ready.committedUpTo}`);
    this.#print(parts.join(" "));
    for (const entry of ready.entries) this.#print(`  write ${entryText(entry)}`);
    for (const message of ready.messages) this.#print(`  send ${messageText(message)}`);
    for (const message of ready.messagesAfterPersist) this.#print(`  then ${messageText(message)}`);
    for (const { context, index } of ready.readStates) this.#print(`  read ${context} at ${index}`);
    for (const context of ready.droppedReads) this.#print(`  read ${context} dropped`);
  }

  #send(messages: Message[]): void {
    for (const message of messages) {
      if (this.#cut.has(`${message.from}>${message.to}`)) continue;
      this.#members.get(message.to)?.inbox.push(message);
    }
  }

  /** Applies conf changes on the way; everything else needs nothing. */
  #apply(member: Member, upTo: number): void {
    const { raft } = member;
    while (raft.appliedIndex < upTo) {
      const next = raft.appliedIndex + 1;
      const entry = raft.entryAt(next);
      if (entry?.kind === EntryKind.ConfChange) {
        const change = (entry.payload ?? { transition: "auto", steps: [] }) as ConfChange;
        raft.applyConfChange(change);
      }
      raft.applied(next);
    }
  }

  #persisted(member: Member): void {
    const last = member.writes.at(-1);
    if (last === undefined) {
      this.#print("nothing in flight");
      return;
    }
    const released = [...member.writes.splice(0), ...member.held.splice(0)];
    for (const { held } of released) this.#send(held);
    member.raft.persisted(last.seq);
  }

  #deliver(member: Member, verbose: boolean): void {
    for (const message of member.inbox.splice(0)) {
      if (verbose) this.#print(messageText(message));
      if (message.type === "propose") member.raft.propose(message.entries);
      else member.raft.step(message);
    }
  }

  /** Everything moves until nothing is left to move. */
  #stabilize(verbose: boolean): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const [id, member] of this.#members) {
        while (this.#ready(id, false)) moved = true;
        if (member.writes.length > 0) {
          this.#persisted(member);
          moved = true;
        }
        if (member.inbox.length > 0) {
          this.#deliver(member, verbose);
          moved = true;
        }
      }
    }
  }

  #status(raft: Raft): void {
    const { term, role, lead, vote, committed, applied, stable, firstIndex, lastIndex, confState } = raft.status();
    this.#print(
      `term=${term} role=${role} lead=${lead} vote=${vote} log=[${firstIndex},${lastIndex}] stable=${stable} committed=${committed} applied=${applied}`,
    );
    this.#print(confText(confState));
  }

  #progress(raft: Raft): void {
    for (const [id, progress] of raft.status().progress ?? []) {
      const learner = progress.isLearner ? " learner" : "";
      this.#print(
        `${id}: ${progress.state} match=${progress.match} next=${progress.next} inflight=${progress.inflightMessages}${learner}`,
      );
    }
  }
}
