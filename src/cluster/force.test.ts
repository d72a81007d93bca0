import { describe, expect, it } from "vitest";
import type { EntryMeta, Recovered } from "../native/binding.js";
import { EntryKind } from "../raft/index.js";
import { confStateWrite, decodeEnvelope, encodeEnvelope, type MembershipChange } from "../replica/commands.js";
import { forceNewCluster, unappliedSteps } from "./force.js";

const entry = (index: number): EntryMeta => ({ index, term: 3, kind: EntryKind.Batch, bytes: 1 });

function recovered(voters: bigint[], learners: bigint[], more: Partial<Recovered> = {}): Recovered {
  const confState = { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false };
  const { table, key, value } = confStateWrite(confState);
  if (value === null) throw new Error("no value");
  return {
    hardState: { term: 3, vote: 0n, commit: 7 },
    entries: [5, 6, 7, 8, 9].map(entry),
    appliedIndex: 6,
    snapshotIndex: 4,
    snapshotTerm: 3,
    meta: [{ table, key, value }],
    ...more,
  } as Recovered;
}

const steps = (forced: ReturnType<typeof forceNewCluster>) =>
  forced.entries.flatMap(({ data }) => decodeEnvelope<MembershipChange>(data ?? new Uint8Array()).body.change.steps);

describe("a forced new cluster", () => {
  it("keeps what is committed, drops the rest, and removes everybody else", () => {
    const forced = forceNewCluster(recovered([1n, 2n, 3n], [4n]), 2n, []);
    expect(steps(forced)).toEqual([1n, 3n, 4n].map((id) => ({ type: "remove", id })));
    expect(forced.entries.map(({ index, term }) => [index, term])).toEqual([
      [8, 4],
      [9, 4],
      [10, 4],
    ]);
    expect(forced.hardState).toEqual({ term: 4, vote: 0n, commit: 10 });
    expect(forced.recovered.entries.map(({ index }) => index)).toEqual([5, 6, 7, 8, 9, 10]);
    expect(forced.discarded).toBe(2);
  });

  it("makes a voter of the learner that it is left with, before it removes the voters", () => {
    const forced = forceNewCluster(recovered([1n], [2n]), 2n, []);
    expect(steps(forced)).toEqual([
      { type: "addVoter", id: 2n },
      { type: "remove", id: 1n },
    ]);
  });

  it("counts changes that are committed and not applied yet", () => {
    const forced = forceNewCluster(recovered([1n, 2n], []), 1n, [
      { type: "remove", id: 2n },
      { type: "addVoter", id: 3n },
    ]);
    expect(steps(forced)).toEqual([{ type: "remove", id: 3n }]);
  });

  it("of a sole voter changes nothing", () => {
    const forced = forceNewCluster(recovered([1n], [], { entries: [5, 6, 7].map(entry) }), 1n, []);
    expect([forced.entries, forced.discarded]).toEqual([[], 0]);
  });

  it("reads the changes out of the log", async () => {
    const body: MembershipChange = {
      change: { transition: "auto", steps: [{ type: "remove", id: 9n }] },
      context: null,
    };
    const readEntries = async (first: number, last: number) => {
      expect([first, last]).toEqual([7, 7]);
      return [
        { meta: { ...entry(7), kind: EntryKind.ConfChange }, data: encodeEnvelope("x", 1, body) },
        { meta: entry(7), data: new Uint8Array([1]) },
      ];
    };
    const found = await unappliedSteps({ readEntries } as never, recovered([1n], []));
    expect(found).toEqual([{ type: "remove", id: 9n }]);
  });
});
