// Who has a data directory: the lock, waiting for it, and data that cannot be opened.

import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { loadConfig } from "../config/load.js";
import { Logger } from "../log/logger.js";
import { loadBinding } from "../native/load.js";
import { requireDescriptors } from "./descriptors.js";
import { FatalError } from "./failures.js";
import { Member, StoppedError } from "./member.js";

const binding = loadBinding();

let folder: string;
let lines: Record<string, unknown>[];
let made: Member[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "netcd-claim-"));
  lines = [];
  made = [];
});

afterEach(async () => {
  for (const member of made) await member.stop();
  rmSync(folder, { recursive: true });
});

/** A member on the test's directory; its listeners are sockets of its own name. */
function create(socket: string, more: string[] = []): Member {
  const [client, peer] = [`unix://${folder}/${socket}-c:1`, `unix://${folder}/${socket}-p:1`];
  const loaded = loadConfig(
    [
      `--data-dir=${folder}/data`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      ...more,
    ],
    {},
  );
  if (loaded.kind !== "run") throw new Error(`cannot run: ${JSON.stringify(loaded)}`);
  const output = { write: (line: string) => void lines.push(JSON.parse(line)), close: () => {} };
  const log = new Logger({ level: "info", format: "json", outputs: [output] });
  const member = new Member(loaded.config, log, binding, (reason) => {
    throw new Error(`the member wants to end: ${reason}`);
  });
  made.push(member);
  return member;
}

const memberDir = () => join(folder, "data/member");
const store = () => join(memberDir(), "store.mdb");
const identity = () => readFileSync(join(memberDir(), "identity.json"), "utf8");
const segment = () =>
  join(memberDir(), "wal", readdirSync(join(memberDir(), "wal")).find((name) => name.endsWith(".wal")) ?? "");

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const waits = () => lines.filter(({ msg }) => msg === "waiting for another process that has the data directory in use");

it("waits for whoever has the directory, reads nothing of it meanwhile, and then serves", async () => {
  const first = create("first");
  await first.start();
  await first.ready;
  const whose = identity();
  // It may have the directory in the state before: what it would read now is not what it will serve.
  writeFileSync(join(memberDir(), "identity.json"), "half");
  const second = create("second");
  let began = false;
  const start = second.start().then(() => {
    began = true;
  });
  await until(() => waits().length === 1);
  expect(waits()[0]).toMatchObject({ level: "info", path: memberDir() });
  expect(began).toBe(false);
  writeFileSync(join(memberDir(), "identity.json"), whose);
  await first.stop();
  await start;
  await second.ready;
  expect(lines.find(({ msg }) => msg === "the data directory is no longer in use")).toMatchObject({ path: store() });
  expect(identity()).toBe(whose);
});

it("does not let two that begin at once both become the directory's member", async () => {
  const [first, second] = [create("first"), create("second", ["--initial-cluster-token=other"])];
  const starts = [first.start(), second.start().catch((error: Error) => error)];
  await first.ready;
  expect(waits()).toHaveLength(1);
  const whose = identity();
  await second.stop();
  expect((await Promise.all(starts))[1]).toBeInstanceOf(StoppedError);
  expect(identity()).toBe(whose);
});

it("can be stopped while it waits, and leaves the other alone", async () => {
  const first = create("first");
  await first.start();
  const second = create("second");
  const start = second.start().catch((error: Error) => error);
  await until(() => waits().length === 1);
  await second.stop();
  expect(await start).toBeInstanceOf(StoppedError);
  await first.ready;
});

/** Starts a member once, so that there is data, and stops it. */
async function leaveData(): Promise<void> {
  const member = create("m");
  await member.start();
  await member.ready;
  await member.stop();
}

async function refusal(): Promise<FatalError["fields"]> {
  const error = await create("m")
    .start()
    .then(
      () => null,
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(FatalError);
  expect((error as Error).message).toBe("failed to open database");
  return (error as FatalError).fields;
}

it("is open to others when it was stopped as soon as it was started", async () => {
  await leaveData();
  const member = create("m");
  const start = member.start().catch((error: Error) => error);
  await member.stop();
  expect(await start).toBeInstanceOf(StoppedError);
  await leaveData();
  expect(waits()).toEqual([]);
});

it("leaves neither a timer nor the lock behind when it cannot listen", async () => {
  const [made, cleared] = [vi.spyOn(globalThis, "setInterval"), vi.spyOn(globalThis, "clearInterval")];
  try {
    const start = create("m", [`--listen-client-urls=unix://${folder}/missing/c:1`]).start();
    await expect(start).rejects.toThrow("bind");
    expect(made).toHaveBeenCalled();
    for (const { value } of made.mock.results) expect(cleared).toHaveBeenCalledWith(value);
  } finally {
    vi.restoreAllMocks();
  }
  await leaveData();
  expect(waits()).toEqual([]);
});

const BYTES = 4096;

it.each<[string, () => void, string]>([
  ["cut to two pages", () => truncateSync(store(), 2 * BYTES), "the file is cut short: it has 8192 bytes, "],
  ["cut in its first page", () => truncateSync(store(), 100), "MDB_INVALID: File is not an LMDB file"],
  ["garbage", () => writeFileSync(store(), Buffer.alloc(10 * BYTES, 7)), "MDB_INVALID: File is not an LMDB file"],
])("names a store that is %s, and starts once it is whole again", async (_, damage, reason) => {
  await leaveData();
  const whole = readFileSync(store());
  damage();
  const fields = await refusal();
  expect(fields["path"]).toBe(store());
  expect(fields["error"]).toContain(reason);
  writeFileSync(store(), whole);
  await leaveData();
});

it("makes a store anew that is empty, as long as the log has everything", async () => {
  await leaveData();
  truncateSync(store(), 0);
  await leaveData();
});

it.each<[string, number, RegExp]>([
  ["empty", 0, /^WAL .*\.wal is damaged at byte 0: /],
  ["cut in its header", 40, /^WAL .*\.wal is damaged at byte 40: the segment header is cut off/],
  ["cut behind its header", 168, /^the store has applied entry \d+, the write-ahead log ends at 0: /],
])("refuses a log whose file is %s", async (_, bytes, reason) => {
  await leaveData();
  truncateSync(segment(), bytes);
  const fields = await refusal();
  expect(fields["path"]).toBe(memberDir());
  expect(fields["error"]).toMatch(reason);
});

it("refuses to start with no more descriptors than it needs itself, as etcd does", () => {
  expect(() => requireDescriptors({ descriptorLimit: () => 150 })).toThrow(
    expect.objectContaining({
      message: "file descriptor limit of etcd process is too low; please set higher",
      fields: { limit: 150, "recommended-limit": 150 },
    }),
  );
  requireDescriptors({ descriptorLimit: () => 151 });
  requireDescriptors(binding);
});
