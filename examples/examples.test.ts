// The examples in JavaScript do what they say; test/client runs the one in Go.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadConfig } from "../src/config/load.js";
import { Logger } from "../src/log/logger.js";
import { Member } from "../src/member/member.js";
import { loadBinding } from "../src/native/load.js";

let folder: string;
let member: Member;
let endpoint: string;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** The flags of a member on ports of its own. */
async function flagsOf(name: string): Promise<{ flags: string[]; address: string }> {
  const address = `127.0.0.1:${await freePort()}`;
  const [client, peer] = [`http://${address}`, `http://127.0.0.1:${await freePort()}`];
  const clients = [`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`];
  const peers = [`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`];
  const own = [`--name=${name}`, `--data-dir=${join(folder, name)}`, `--initial-cluster=${name}=${peer}`];
  return { flags: [...own, ...clients, ...peers], address };
}

/** What an example prints; rejects if it fails. */
async function run(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, name), ...args]);
  return stdout;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "netcd-examples-"));
  const { flags, address } = await flagsOf("served");
  endpoint = address;
  const loaded = loadConfig(flags, {});
  if (loaded.kind !== "run") throw new Error("the flags are wrong");
  const log = new Logger({ level: "error", format: "json", outputs: [] });
  member = new Member(loaded.config, log, loadBinding(), (reason) => {
    throw new Error(reason);
  });
  await member.start();
  await member.ready;
});

afterAll(async () => {
  await member.stop();
  rmSync(folder, { recursive: true });
});

it("embed.mjs runs a member, asks it and stops it", async () => {
  const { flags } = await flagsOf("embedded");
  expect(JSON.parse(await run("embed.mjs", ...flags))).toEqual({ health: "true", reason: "" });
});

it("client.mjs puts, swaps and reads, and watch.mjs shows what it did", async () => {
  expect(await run("client.mjs", endpoint)).toBe(
    "put at revision 2\nswapped\nexample/greeting: hello, world (version 2)\n",
  );
  expect(await run("watch.mjs", endpoint, "example/", "1", "2")).toBe(
    "2 PUT example/greeting hello\n3 PUT example/greeting hello, world\n",
  );
});
