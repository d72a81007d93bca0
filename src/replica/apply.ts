// Applies control entries: decodes, hands to the handler of the command, and gives the outcome to the data plane and
// to the caller, if this process proposed it. Apply in the data plane stands still meanwhile.

import type { MetaWrite, NativeEvent } from "../native/binding.js";
import { ConfChangeError, EntryKind, type Raft } from "../raft/index.js";
import {
  type ApplyMark,
  type ControlCommand,
  type ControlHandlers,
  type ControlOutcome,
  confStateWrite,
  decodeEnvelope,
  type MembershipChange,
  type MembershipHandler,
} from "./commands.js";
import { ReplicaError, replicaErrors } from "./errors.js";
import type { PendingRequests } from "./pending.js";

export type ControlEvent = Extract<NativeEvent, { type: "control" }>;

/** The step that raft proposes by itself; it has no payload. */
const leaveJoint: MembershipChange = { change: { transition: "auto", steps: [] }, context: null };

export class ControlApplier {
  constructor(
    private readonly raft: Raft,
    private readonly origin: string,
    private readonly handlers: ControlHandlers,
    private readonly membership: MembershipHandler,
    private readonly pending: PendingRequests<unknown>,
  ) {}

  /** Returns the writes that the data plane stores with the entry. `reply` tells the caller, later in the turn. */
  apply(event: ControlEvent): { writes: MetaWrite[]; reply: () => void } {
    const mark = { index: event.index, term: event.term };
    if (event.kind !== EntryKind.ConfChange) return this.#applyCommand(event.data, mark);
    if (event.data.length === 0) {
      const outcome = this.#changeMembers(leaveJoint, mark);
      return { writes: outcome instanceof ReplicaError ? [] : outcome.writes, reply: () => {} };
    }
    const { body, origin, request } = decodeEnvelope<MembershipChange>(event.data);
    const outcome = this.#changeMembers(body, mark);
    const writes = outcome instanceof ReplicaError ? [] : outcome.writes;
    return { writes, reply: () => this.#reply(origin, request, outcome) };
  }

  #applyCommand(data: Uint8Array, mark: ApplyMark): { writes: MetaWrite[]; reply: () => void } {
    const { body, origin, request } = decodeEnvelope<ControlCommand>(data);
    const handler = this.handlers[body.type] as
      | ((command: ControlCommand, mark: ApplyMark) => ControlOutcome)
      | undefined;
    if (handler === undefined) throw new Error(`no handler for control command ${body.type}`);
    const outcome = handler(body, mark);
    return { writes: outcome.writes, reply: () => this.#reply(origin, request, outcome) };
  }

  #changeMembers(change: MembershipChange, mark: ApplyMark): ControlOutcome | ReplicaError {
    const refused = this.membership.check(change);
    if (refused !== null) return refused;
    try {
      const confState = this.raft.applyConfChange(change.change);
      const outcome = this.membership.applied(change, confState, mark);
      return { result: outcome.result, writes: [confStateWrite(confState), ...outcome.writes] };
    } catch (error) {
      // The change does not fit the configuration: the same on every member, so it is an answer and not a failure.
      if (error instanceof ConfChangeError) return replicaErrors.confChangeInvalid();
      throw error;
    }
  }

  #reply(origin: string, request: number, outcome: ControlOutcome | ReplicaError): void {
    if (origin !== this.origin) return;
    if (outcome instanceof ReplicaError) this.pending.fail(request, outcome);
    else this.pending.done(request, outcome.result);
  }
}
