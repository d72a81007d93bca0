// Who waits how long for a login because of failed ones, on a clock that the test moves.

import { beforeEach, expect, test } from "vitest";
import { limits } from "../../limits.js";
import { Attempts, networkOf } from "../attempts.js";
import { FakeClock, outcome, settle } from "./kit.js";

let clock: FakeClock;
let attempts: Attempts;

beforeEach(() => {
  clock = new FakeClock();
  attempts = new Attempts(clock);
});

/** How long the next attempt waits, in milliseconds; it is made. */
async function waits(user: string, address: string): Promise<number> {
  const from = clock.now;
  let admitted: number | null = null;
  const admission = attempts.admit(user, address).then(() => {
    admitted = clock.now;
  });
  await clock.pass(0);
  while (admitted === null) await clock.pass(10);
  await admission;
  return admitted - from;
}

async function failed(times: number, user: string, address: string): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    await waits(user, address);
    attempts.failed(user, address);
  }
}

test("people may mistype: the first failures cost nothing", async () => {
  await failed(5, "u", "10.0.0.1:99");
  expect(await waits("u", "10.0.0.1:99")).toBe(0);
  expect([attempts.failedTotal, attempts.delayedTotal]).toEqual([5, 0]);
});

test("more failures of a user cost each login of his twice as long, up to a second, from wherever it comes", async () => {
  const delays: number[] = [];
  for (let time = 0; time < 12; time += 1) {
    delays.push(await waits("u", `10.0.0.${time}`));
    attempts.failed("u", `10.0.0.${time}`);
  }
  expect(delays).toEqual([0, 0, 0, 0, 0, 0, 100, 200, 400, 800, 1_000, 1_000]);
  expect(await waits("other", "10.0.0.1")).toBe(0);
});

test("the right password is let in within a second, however many try wrong ones from elsewhere", async () => {
  // A flood that does not wait for its answers: all of it has begun before the first has failed.
  for (let of = 0; of < 3_000; of += 1) attempts.failed("u", `10.1.${of % 250}.${of >> 8}`);
  const flood = Array.from({ length: 500 }, (_, of) => outcome(attempts.admit("u", `10.2.0.${of}`)));
  expect(await waits("u", "192.168.0.7")).toBeLessThanOrEqual(1_000);
  attempts.succeeded("u", "192.168.0.7");
  expect(await waits("u", "192.168.0.8")).toBe(0);
  await clock.pass(2_000);
  await Promise.all(flood);
});

test("an address that fails gets one attempt after the other, ever more slowly, whichever users it tries", async () => {
  await failed(11, "a", "10.0.0.1");
  await clock.pass(1_000);
  // It tries ten users at once: they stand in line.
  const begun: number[] = [];
  for (let of = 0; of < 4; of += 1) void attempts.admit(`x${of}`, "10.0.0.1:1234").then(() => begun.push(clock.now));
  const from = clock.now;
  await clock.pass(1_000);
  expect(begun.map((at) => at - from)).toEqual([0, 100, 200, 300]);
  for (let time = 0; time < 10; time += 1) attempts.failed("x", "10.0.0.1");
  const slow = await waits("y", "10.0.0.1");
  expect(slow).toBeGreaterThan(4_000);
  expect(slow).toBeLessThanOrEqual(limits.loginDelayMsMax);
  expect(await waits("y", "10.0.0.2"), "others do not wait for it").toBe(0);
});

test("who would wait for too long is refused at once", async () => {
  for (let time = 0; time < 30; time += 1) attempts.failed("u", "10.0.0.1");
  const line = Array.from({ length: 10 }, (_, of) => outcome(attempts.admit(`v${of}`, "10.0.0.1")));
  await settle();
  expect(attempts.refusedTotal).toBeGreaterThan(6);
  await clock.pass(60_000);
  const answers = await Promise.all(line);
  expect(answers.filter((answer) => answer === "OK").length).toBe(10 - attempts.refusedTotal);
  expect(answers.at(-1)).toBe("2 etcdserver: too many requests");
});

test("success clears the user, and of the address what he failed there, not what others did", async () => {
  await failed(4, "own", "10.0.0.1");
  for (let time = 0; time < 12; time += 1) attempts.failed("victim", "10.0.0.1");
  attempts.succeeded("own", "10.0.0.1");
  await clock.pass(5_000);
  // Twelve failures are left of sixteen: the guesses at the victim were not bought off.
  expect(await waits("z1", "10.0.0.1")).toBe(0);
  expect(await waits("z2", "10.0.0.1")).toBe(200);
  attempts.succeeded("victim", "10.0.0.1");
  await clock.pass(5_000);
  expect(await waits("z3", "10.0.0.1")).toBe(0);
  expect(await waits("z4", "10.0.0.1")).toBe(0);
});

test("failures are forgotten by and by", async () => {
  for (let time = 0; time < 40; time += 1) attempts.failed("u", "10.0.0.1");
  await clock.pass(60_000);
  attempts.failed("u", "10.0.0.9");
  expect(await waits("u", "10.0.0.2"), "21 are left, all of the user").toBe(1_000);
  await clock.pass(600_000);
  attempts.failed("u", "10.0.0.1");
  expect(await waits("u", "10.0.0.1")).toBe(0);
});

test("no more users and addresses are remembered than the limit", async () => {
  for (let time = 0; time < 20; time += 1) attempts.failed("first", "10.0.0.1");
  for (let of = 0; of < limits.failedLoginsMax; of += 1) attempts.failed(`u${of}`, `a${of}`);
  expect(await waits("first", "10.0.0.1")).toBe(0);
});

test("ports do not count, nor do the last 64 bits of an address of IPv6", () => {
  const networks: [string, string][] = [
    ["10.0.0.1:2379", "10.0.0.1"],
    ["10.0.0.1", "10.0.0.1"],
    ["[::ffff:10.0.0.1]:80", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["[2001:DB8:0:1:2:3:4:5]:80", "2001:db8:0:1::/64"],
    ["2001:db8:0:1::9", "2001:db8:0:1::/64"],
    ["2001:db8::0:9", "2001:db8:0:0::/64"],
    ["2001:0db8:00:0001:ffff::", "2001:db8:0:1::/64"],
    ["[::1]:5", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["@", "@"],
    ["", ""],
  ];
  for (const [peer, network] of networks) expect(networkOf(peer), peer).toBe(network);
});
