// Heartbeats that went out late.

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
