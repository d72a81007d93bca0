// The program as a process: signals, what nobody catches, where its log goes. A built one: `npm run build`.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../member/tests/ports.js";

const PROGRAM = join(import.meta.dirname, "../../bin/netcd");
const READY = "ready to serve client requests";

let folder: string;
let children: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "netcd-process-"));
  children = [];
});

afterEach(async () => {
  for (const child of children) await killed(child);
  rmSync(folder, { recursive: true });
});

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

interface Run {
  readonly child: ChildProcess;
  /** All that it wrote to stderr. */
  readonly said: () => string;
  /** Lines of the log with these words. */
  readonly lines: (message: string) => Record<string, unknown>[];
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
}

function run(args: string[], env: Record<string, string> = {}): Run {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal }));
  const lines = (message: string) =>
    text
      .split("\n")
      .filter((line) => line.startsWith("{") && line.endsWith("}"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line["msg"] === message);
  return { child, said: () => text, lines, ended };
}

/** A member on sockets in the folder. */
const member = (env: Record<string, string> = {}) =>
  run(
    [
      "--listen-client-urls=unix://c:1",
      "--advertise-client-urls=unix://c:1",
      "--listen-peer-urls=unix://p:1",
      "--initial-advertise-peer-urls=unix://p:1",
      "--initial-cluster=default=unix://p:1",
    ],
    env,
  );

const untilReady = (server: Run) =>
  expect.poll(() => server.lines(READY).length, { timeout: 20_000, interval: 20 }).toBe(1);

/** Has Node run this text before the program. */
const preloaded = (script: string) => ({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` });

const answers = (port: number) =>
  fetch(`http://127.0.0.1:${port}/json/list`).then(
    () => true,
    () => false,
  );

describe("signals", () => {
  it("that mean nothing to etcd are ignored, and open no debugger", async () => {
    const server = member();
    await untilReady(server);
    const named = [
      "USR1",
      "USR2",
      "PIPE",
      "ALRM",
      "CHLD",
      "URG",
      "XCPU",
      "XFSZ",
      "VTALRM",
      "PROF",
      "WINCH",
      "IO",
      "PWR",
    ];
    const numbers = constants.signals as Record<string, number>;
    const all = named.flatMap((name) => numbers[`SIG${name}`] ?? []);
    // Real-time signals have no names in Node.
    if (process.platform === "linux") all.push(...Array.from({ length: 30 }, (_, nth) => 35 + nth));
    expect(all.length).toBeGreaterThan(10);
    for (const signal of all) process.kill(server.child.pid ?? 0, signal);
    await setTimeout(300);
    expect(server.child.exitCode).toBeNull();
    expect(server.child.signalCode).toBeNull();
    expect(server.said()).not.toContain("Debugger");
    server.child.kill("SIGTERM");
    expect(await server.ended).toEqual({ code: null, signal: "SIGTERM" });
  });

  it("that come while Node starts leave no debugger open", async () => {
    const port = await freePort();
    // As if one had come before the first line of the program.
    const opened = preloaded(`const inspector = await import("node:inspector"); inspector.open(${port}, "127.0.0.1");`);
    const server = member(opened);
    await untilReady(server);
    expect(server.said()).toContain("Debugger listening");
    expect(await answers(port)).toBe(false);
  });

  it("leave the debugger to who asks for it", async () => {
    const port = await freePort();
    const server = member({ NODE_OPTIONS: `--inspect=127.0.0.1:${port}` });
    await untilReady(server);
    expect(await answers(port)).toBe(true);
  });
});

/** Runs a text once the program listens for what nobody catches, however long Node took to come to it. */
const onceItListens = (script: string) =>
  `const look = setInterval(() => {
    if (process.listenerCount("uncaughtException") === 0) return;
    clearInterval(look);
    ${script}
  }, 50)`;

describe("what nobody catches", () => {
  it.each([
    ["uncaught exception", onceItListens(`throw new Error("thrown by a test");`)],
    ["unhandled rejection", onceItListens(`Promise.reject(new Error("thrown by a test"));`)],
    ["unhandled rejection", onceItListens(`Promise.reject("thrown by a test");`)],
  ])("%s is a fatal line with its stack, and the code is that of a failure", async (message, script) => {
    const server = member(preloaded(script));
    expect(await server.ended).toEqual({ code: 1, signal: null });
    const [line, ...more] = server.lines(message);
    expect(more).toEqual([]);
    expect(line).toMatchObject({ level: "fatal", msg: message, error: expect.stringContaining("thrown by a test") });
    expect(line?.["stack"]).toMatch(/thrown by a test[\s\S]*\n +at /);
    const bare = server
      .said()
      .split("\n")
      .filter((each) => each !== "" && !each.startsWith("{"));
    expect(bare).toEqual([]);
  });

  it("before the configuration counts is such a line too", async () => {
    const server = run(
      ["--version"],
      preloaded(`process.stdout.write = () => { throw new Error("thrown by a test"); }`),
    );
    expect(await server.ended).toEqual({ code: 1, signal: null });
    expect(server.lines("uncaught exception")[0]).toMatchObject({ level: "fatal", error: "thrown by a test" });
  });

  it("warnings of the runtime are lines of the log", async () => {
    const server = member(preloaded(onceItListens(`process.emitWarning("warned by a test");`)));
    await expect
      .poll(() => server.lines("warning of the runtime")[0], { timeout: 20_000 })
      .toMatchObject({ level: "warn", error: "warned by a test" });
    expect(server.said()).not.toMatch(/^\(node:/m);
  });
});

describe("the log", () => {
  it("goes where --log-outputs says, as --log-format and --log-level say", async () => {
    const path = join(folder, "netcd.log");
    const refused = run([`--log-outputs=${path},stderr`, "--log-format=console", "--heartbeat-interval=0"]);
    expect((await refused.ended).code).toBe(1);
    expect(readFileSync(path, "utf8")).toMatch(/\twarn\t[^\t]+\tfailed to verify flags\t\{"error": /);
    expect(refused.said()).toBe(readFileSync(path, "utf8"));
    const silent = run(["--log-level=error", "--heartbeat-interval=0"]);
    expect((await silent.ended).code).toBe(1);
    expect(silent.said()).toBe("");
  });
});

describe("an embedded member", () => {
  it("leaves the process's signals and errors to its program", async () => {
    const script = `
      const { Member, Logger, loadBinding, loadConfig } = await import(${JSON.stringify(join(PROGRAM, "../../dist/index.js"))});
      const names = () => process.eventNames().filter((name) => /^SIG|^un|^warning|xit$/.test(String(name)));
      const before = names();
      const { config } = loadConfig(["--listen-client-urls=unix://c:1", "--advertise-client-urls=unix://c:1",
        "--listen-peer-urls=unix://p:1", "--initial-advertise-peer-urls=unix://p:1", "--initial-cluster=default=unix://p:1"], {});
      const log = new Logger({ level: "fatal", format: "json", outputs: [] });
      const member = new Member(config, log, loadBinding(), () => process.exit(3));
      await member.start();
      await member.ready;
      const added = names().filter((name) => !before.includes(name));
      await member.stop();
      if (added.length > 0) console.error("added:", ...added);
      process.exit(added.length);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: folder, stdio: "inherit" });
    children.push(child);
    expect((await once(child, "exit"))[0]).toBe(0);
  });
});
