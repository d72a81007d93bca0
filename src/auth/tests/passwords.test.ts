// What is compared, how often, and what is remembered of it.

import { expect, test } from "vitest";
import { limits } from "../../limits.js";
import { Lanes } from "../lanes.js";
import { bcryptCost, Passwords } from "../passwords.js";
import type { User } from "../rows.js";
import { FakeHashing, outcome, settle } from "./kit.js";

const hashOf = (password: string) => `4:${Buffer.from(password).toString("hex")}`;
const user = (name: string, password: string): User => ({
  name,
  password: Buffer.from(hashOf(password)),
  roles: [],
  noPassword: false,
});

test("a right password is compared once, until its user is changed", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 4);
  const u = user("u", "pw");
  for (let login = 0; login < 3; login += 1) expect(await passwords.verify(u, "u", "pw", "a")).toBe(true);
  expect([passwords.hashings, passwords.remembered]).toEqual([1, 2]);
  passwords.forget("other");
  expect(await passwords.verify(u, "u", "pw", "a")).toBe(true);
  expect(passwords.hashings).toBe(1);
  passwords.forget("u");
  expect(await passwords.verify(u, "u", "pw", "a")).toBe(true);
  expect(passwords.hashings).toBe(2);
  passwords.forgetAll();
  expect(await passwords.verify(u, "u", "pw", "a")).toBe(true);
  expect(passwords.hashings).toBe(3);
});

test("a wrong one is compared each time, and what is right for one is nothing for another", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 4);
  const u = user("u", "pw");
  expect(await passwords.verify(u, "u", "pw", "a")).toBe(true);
  for (let login = 0; login < 3; login += 1) expect(await passwords.verify(u, "u", "wrong", "a")).toBe(false);
  expect(passwords.hashings).toBe(4);
  // The same password of another user, and the same user after his password was changed.
  expect(await passwords.verify(user("v", "pw"), "v", "pw", "a")).toBe(true);
  expect(await passwords.verify(user("u", "new"), "u", "pw", "a")).toBe(false);
  expect(await passwords.verify(user("u", "new"), "u", "new", "a")).toBe(true);
  expect(passwords.hashings).toBe(7);
});

test("who asks while the same is being compared waits for that", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 4);
  hashing.close();
  const right = [1, 2, 3].map(() => passwords.verify(user("u", "pw"), "u", "pw", "a"));
  const wrong = [1, 2].map(() => passwords.verify(user("u", "pw"), "u", "no", "b"));
  hashing.open();
  expect(await Promise.all([...right, ...wrong])).toEqual([true, true, true, false, false]);
  expect(hashing.compared).toHaveLength(2);
});

test("what was being compared when the user was changed is not remembered", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 4);
  hashing.close();
  const before = passwords.verify(user("u", "pw"), "u", "pw", "a");
  await settle();
  passwords.forget("u");
  hashing.open();
  expect(await before).toBe(true);
  expect(await passwords.verify(user("u", "pw"), "u", "pw", "a")).toBe(true);
  expect([hashing.compared.length, passwords.remembered]).toEqual([2, 0]);
  // Nor does one that began before end the remembering of one that began after.
  passwords.forget("u");
  hashing.close();
  const old = passwords.verify(user("u", "pw"), "u", "pw", "a");
  await settle();
  passwords.forget("u");
  const current = passwords.verify(user("u", "pw"), "u", "pw", "a");
  hashing.open();
  expect(await Promise.all([old, current])).toEqual([true, true]);
  expect(await passwords.verify(user("u", "pw"), "u", "pw", "a")).toBe(true);
  expect([hashing.compared.length, passwords.remembered]).toEqual([4, 1]);
});

test("who is not there, has no password or an empty hash costs what a wrong password costs", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 12);
  const nobody = { ...user("np", ""), password: new Uint8Array() };
  const cases: (User | null)[] = [
    null,
    { ...nobody, noPassword: true },
    nobody,
    { ...user("np", "pw"), noPassword: true },
  ];
  for (const of of cases) expect(await passwords.verify(of, "np", "pw", "a")).toBe(false);
  expect(hashing.compared).toEqual(cases.map(() => `pw $2a$12$${".".repeat(53)}`));
  // Not even if the hash of nothing were that of the password.
  hashing.verify = () => Promise.resolve(true);
  for (const of of cases) expect(await passwords.verify(of, "np", "pw", "a")).toBe(false);
  for (const of of cases) expect(await passwords.verify(of, "np", "pw", "a")).toBe(false);
});

test("no more pairs are remembered than the limit, and the last asked for are", async () => {
  const passwords = new Passwords(new FakeHashing(), 4);
  const login = (of: number) => passwords.verify(user(`u${of}`, "pw"), `u${of}`, "pw", "a");
  for (let of = 0; of < limits.verifiedPasswordsMax; of += 1) await login(of);
  await login(0);
  await login(limits.verifiedPasswordsMax);
  const before = passwords.hashings;
  await login(0);
  expect(passwords.hashings).toBe(before);
  await login(1);
  expect(passwords.hashings).toBe(before + 1);
});

test("a new password has at most 72 bytes", async () => {
  const passwords = new Passwords(new FakeHashing(), 9);
  expect(await passwords.hash("x".repeat(72))).toBe(`9:${"78".repeat(72)}`);
  expect(await passwords.hash("")).toBe("9:");
  for (const long of ["x".repeat(73), "\u00e4".repeat(37)]) {
    expect(await outcome(passwords.hash(long))).toBe("2 bcrypt: password length exceeds 72 bytes");
  }
});

test("costs are those of bcrypt, and etcd's default instead of others", () => {
  expect([4, 10, 31].map(bcryptCost)).toEqual([4, 10, 31].map((cost) => ({ cost, isGiven: true })));
  expect([0, 3, 32, 4_294_967_295].map(bcryptCost)).toEqual([0, 3, 32, 0].map(() => ({ cost: 10, isGiven: false })));
});

test("lanes take turns, whoever has how many jobs", async () => {
  const lanes = new Lanes(1);
  const done: string[] = [];
  const run = (lane: string, job: string) =>
    lanes.run(lane, async () => {
      await settle();
      done.push(job);
    });
  await Promise.all([...[1, 2, 3, 4].map((of) => run("many", `many ${of}`)), run("one", "one"), run("two", "two")]);
  expect(done).toEqual(["many 1", "many 2", "one", "two", "many 3", "many 4"]);
  expect(lanes.waiting).toBe(0);
});

test("as many jobs run as there are threads, also after some have failed", async () => {
  const lanes = new Lanes(2);
  let running = 0;
  let most = 0;
  const jobs = Array.from({ length: 9 }, (_, of) =>
    lanes.run(`${of % 3}`, async () => {
      running += 1;
      most = Math.max(most, running);
      await settle();
      running -= 1;
      if (of % 2 === 0) throw new Error(`job ${of}`);
      return of;
    }),
  );
  const ended = await Promise.allSettled(jobs);
  expect(ended.map(({ status }) => status === "fulfilled")).toEqual(ended.map((_, of) => of % 2 === 1));
  expect(most).toBe(2);
});

test("a lane that is full refuses at once and leaves the others their places", async () => {
  const hashing = new FakeHashing();
  const passwords = new Passwords(hashing, 4);
  hashing.close();
  const flood = Array.from({ length: limits.laneJobsMax + 3 }, (_, of) =>
    outcome(passwords.verify(null, `u${of}`, "x", "flood")),
  );
  await settle();
  const other = passwords.verify(user("u", "pw"), "u", "pw", "home");
  hashing.open();
  expect(await other).toBe(true);
  // The flood's first was at work already, its next had the turn before.
  expect(hashing.compared.findIndex((job) => job.startsWith("pw"))).toBeLessThanOrEqual(2);
  const answers = await Promise.all(flood);
  expect(answers.filter((answer) => answer.includes("too many requests"))).toHaveLength(2);
});

test("where too many wait the last of the longest lane makes room for who has few", async () => {
  const lanes = new Lanes(1);
  let open = () => {};
  const first = lanes.run("first", () => new Promise<void>((resolve) => (open = resolve)));
  const ran: string[] = [];
  const job = (lane: string) => outcome(lanes.run(lane, async () => void ran.push(lane)));
  const perLane = limits.laneJobsMax;
  const flood = Array.from({ length: limits.waitingJobsMax }, (_, of) => job(`flood${Math.floor(of / perLane)}`));
  await settle();
  expect(lanes.waiting).toBe(limits.waitingJobsMax);
  const root = job("root");
  await settle();
  expect(lanes.waiting).toBe(limits.waitingJobsMax);
  // Who is in the longest lane himself takes nobody's place.
  expect(await job("flood1")).toBe("2 etcdserver: too many requests");
  open();
  await first;
  expect(await root).toBe("OK");
  const answers = await Promise.all(flood);
  expect(answers.filter((answer) => answer !== "OK")).toEqual(["2 etcdserver: too many requests"]);
  expect(answers.indexOf("2 etcdserver: too many requests"), "the last of the first lane").toBe(perLane - 1);
  expect(ran.indexOf("root")).toBe(limits.waitingJobsMax / perLane);
  expect(lanes.waiting).toBe(0);
});
