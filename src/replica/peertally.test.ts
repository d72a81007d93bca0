// What is counted of the links to other members.

import { expect, it } from "vitest";
import { PeerTally } from "./peertally.js";

it("counts heartbeats that go out more than two intervals after the last one to the same member", () => {
  const tally = new PeerTally(100);
  expect(tally.heartbeat(2n, 5, 1_000)).toBe(0);
  expect(tally.heartbeat(3n, 5, 1_150)).toBe(0);
  expect(tally.heartbeat(2n, 5, 1_200)).toBe(0);
  expect(tally.heartbeat(2n, 5, 1_430)).toBe(30);
  expect(tally.heartbeat(2n, 5, 1_500)).toBe(0);
  expect(tally.heartbeat(3n, 5, 1_500)).toBe(150);
  expect(tally.lateHeartbeats).toBe(2);
});

it("takes the time without leadership for no delay", () => {
  const tally = new PeerTally(100);
  tally.heartbeat(2n, 5, 1_000);
  expect(tally.heartbeat(2n, 7, 60_000)).toBe(0);
  expect(tally.lateHeartbeats).toBe(0);
});

it("counts stores by how they ended, for each member until it is removed", () => {
  const tally = new PeerTally(100);
  for (const _ of [1, 2, 3]) tally.storeSending(2n);
  tally.storeSent(2n, true);
  tally.storeSent(2n, false);
  tally.of(3n).disconnects += 1;
  expect(tally.of(2n)).toMatchObject({ storesSending: 1, storesSent: 1, storesFailed: 1, disconnects: 0 });
  tally.forget(2n);
  expect(tally.of(2n)).toMatchObject({ storesSending: 0, storesSent: 0, storesFailed: 0 });
  expect(tally.of(3n).disconnects).toBe(1);
});
