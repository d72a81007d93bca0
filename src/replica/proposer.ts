// What wants a place in the log: control commands, conf changes and operations of this member's services, its clients'
// batches, and what other members pass on. Proposes it, waits for what becomes of it, and gives it up in time.

import { limits } from "../limits.js";
import type { Caller, NativeEngine, NativeLog, NativeStatus, OpKind } from "../native/binding.js";
import { EntryKind } from "../raft/index.js";
import type { Clock, Timer } from "./clock.js";
import { type ControlCommand, encodeEnvelope, type MembershipChange } from "./commands.js";
import type { Proposable, RaftDriver } from "./driver.js";
import { ReplicaError, replicaErrors } from "./errors.js";
import { PendingRequests, type Reply } from "./pending.js";
import { ProposalQueue } from "./proposals.js";

export interface ProposerOptions {
  clock: Clock;
  heartbeatMs: number;
  timeoutMs: number;
  /** Names this run of this member in the entries that it proposes. */
  origin: string;
  /** The error of a request that nobody answered and that began then. */
  timedOut: (startedMs: number) => ReplicaError;
  /** There is a leader, but what is sent to it now may be lost. */
  leaderOutOfReach: () => boolean;
}

export class Proposer {
  /** Control commands and conf changes, by their number in the entry. */
  readonly controls: PendingRequests<unknown>;
  readonly #ops: PendingRequests<Uint8Array>;
  readonly #line: ProposalQueue;
  readonly #confChanges: ProposalQueue;
  readonly #log: NativeLog;
  readonly #forwardedBatches = new Set<Timer>();
  #nextRequest = 1;

  constructor(
    private readonly engine: Pick<NativeEngine, "propose" | "log">,
    private readonly driver: RaftDriver,
    private readonly options: ProposerOptions,
  ) {
    this.#log = engine.log;
    const { clock, timeoutMs, timedOut, leaderOutOfReach } = options;
    this.controls = new PendingRequests(clock, timeoutMs, (_key, started) => timedOut(started));
    this.#ops = new PendingRequests(clock, timeoutMs, (_key, started) => timedOut(started));
    const propose = (entry: Proposable) => (leaderOutOfReach() ? "noLeader" : driver.propose(entry));
    this.#line = new ProposalQueue(clock, timeoutMs, propose);
    this.#confChanges = new ProposalQueue(clock, timeoutMs, propose);
  }

  control(command: ControlCommand, reply: Reply<unknown>): void {
    this.#proposeEntry(EntryKind.Control, command, this.#line, reply);
  }

  confChange(change: MembershipChange, reply: Reply<unknown>): void {
    this.#proposeEntry(EntryKind.ConfChange, change, this.#confChanges, reply);
  }

  #proposeEntry(
    kind: EntryKind,
    body: ControlCommand | MembershipChange,
    queue: ProposalQueue,
    reply: Reply<unknown>,
  ): void {
    if (this.#refuses(this.controls.size, reply)) return;
    const request = this.#nextRequest;
    this.#nextRequest += 1;
    const data = encodeEnvelope(this.options.origin, request, body);
    const leavesJoint = "change" in body && body.change.steps.length === 0;
    const taken = queue.add({
      entry: { kind, bytes: data.length, payload: data, leavesJoint },
      refused: (error) => this.driver.later(() => this.controls.fail(request, error)),
      forwarded: () => {},
    });
    if (!taken) {
      reply.failed(replicaErrors.tooManyRequests());
      return;
    }
    // Behind the line, so that a proposal that never left it ends with the error of the line.
    this.controls.add(request, reply);
    this.driver.act(() => {});
  }

  operation(kind: OpKind, request: Uint8Array, caller: Caller, reply: Reply<Uint8Array>): void {
    if (this.#refuses(this.#ops.size, reply)) return;
    const token = this.#nextRequest;
    this.#nextRequest += 1;
    this.#ops.add(token, reply);
    this.engine.propose(kind, request, token, caller);
  }

  #refuses(waiting: number, reply: Reply<never>): boolean {
    if (waiting < limits.pendingRequestsMax) return false;
    reply.failed(replicaErrors.tooManyRequests());
    return true;
  }

  operationAnswered(token: number, data: Uint8Array | null, error: NativeStatus | null): void {
    if (error !== null) this.#ops.fail(token, new ReplicaError(error.code, error.message));
    else this.#ops.done(token, data ?? new Uint8Array());
  }

  /** Requests of this member's clients that the data plane has put together. */
  batch(payload: number, bytes: number): void {
    const { clock, timeoutMs, heartbeatMs, timedOut } = this.options;
    const drop = (error: ReplicaError) => this.#log.dropPayloads([payload], error.status);
    const taken = this.#line.add({
      entry: { kind: EntryKind.Batch, bytes, payload, leavesJoint: false },
      refused: drop,
      forwarded: () => {
        // Its requests are answered when the entry comes back; whatever is left of them then has run out of time.
        const startedMs = clock.nowMs();
        this.#after(timeoutMs, () => drop(timedOut(startedMs)));
        this.#after(heartbeatMs, () => this.#log.releaseBatch(payload));
      },
    });
    if (!taken) drop(replicaErrors.tooManyRequests());
  }

  #after(ms: number, call: () => void): void {
    const timer = this.options.clock.after(ms, () => {
      this.#forwardedBatches.delete(timer);
      call();
    });
    this.#forwardedBatches.add(timer);
  }

  /**
   * The member that passed it on took this one for the leader, and will not ask again: the entry waits here like an own
   * one, and goes on to who leads then. It moves and is never copied, so it can be in one log only.
   */
  passedOn(entry: Proposable): void {
    const drop = () => this.driver.drop(entry.payload);
    const queue = entry.kind === EntryKind.ConfChange ? this.#confChanges : this.#line;
    // The message that carries it on leaves in this turn, and takes the payload with it.
    const taken = queue.add({ entry, refused: drop, forwarded: () => this.driver.later(drop) });
    if (!taken) drop();
  }

  /** Proposes the oldest of each line if that is possible now. True: one left its line. */
  advance(): boolean {
    const proposed = this.#line.advance();
    return this.#confChanges.advance() || proposed;
  }

  get waiting(): number {
    return this.#line.waiting + this.#confChanges.waiting;
  }

  /** Fails everything that waits. */
  stop(): void {
    for (const timer of this.#forwardedBatches) timer.cancel();
    this.#line.failAll(replicaErrors.stopped);
    this.#confChanges.failAll(replicaErrors.stopped);
    this.controls.failAll(replicaErrors.stopped);
    this.#ops.failAll(replicaErrors.stopped);
  }
}
