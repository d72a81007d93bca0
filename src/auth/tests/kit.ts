// What tests of auth are made of: a log that remembers, a clock that the test moves, the data plane's table of tokens as
// a map, hashes that cost nothing, and a replica whose log is applied at once.

import { Metadata } from "@grpc/grpc-js";
import type { Fields } from "../../log/logger.js";
import { Logger } from "../../log/logger.js";
import type { Caller, MetaRow, MetaWrite } from "../../native/binding.js";
import type { Clock, Timer } from "../../replica/clock.js";
import type { ControlCommand } from "../../replica/commands.js";
import { Auth, type AuthChanges, type AuthOptions } from "../auth.js";
import type { Hashing } from "../hashing.js";
import { decodeCommand, encodeCommand, type RequestFields, type RequestName } from "../requests.js";
import type { Applied, AuthStore } from "../store.js";

/** A logger and the lines that it wrote, without their times and places. */
export function recordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (text: string) => {
    const {
      level,
      ts: _ts,
      caller: _caller,
      msg,
      stacktrace: _stack,
      ...fields
    } = JSON.parse(text) as Fields & {
      level: string;
      msg: string;
    };
    lines.push(`${level} ${msg} ${JSON.stringify(fields)}`);
  };
  return { log: new Logger({ level: "debug", format: "json", outputs: [{ write, close: () => {} }] }), lines };
}

export class FakeClock implements Clock {
  now = 0;
  readonly #timers = new Set<{ at: number; call: () => void }>();

  nowMs = () => this.now;

  after(ms: number, call: () => void): Timer {
    const timer = { at: this.now + ms, call };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  every(): Timer {
    throw new Error("nothing in auth repeats");
  }

  /** Moves on; what is due runs in order, and what that resolves before the next. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const [next] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.call();
    }
    this.now = until;
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** The data plane's table of tokens. */
export class FakeNative {
  readonly registered = new Map<string, { user: string; revision: number | null; ttlMs: number | null }>();
  readonly answers: string[] = [];
  /** Stands for the revision of the data plane's table. */
  revision = 1;

  identify = (token: string) => {
    const found = this.registered.get(token);
    return found ? { user: found.user, revision: found.revision ?? this.revision } : null;
  };
  register = (token: string, user: string, revision: number | null, ttlMs: number | null, _renewed: boolean) => {
    if (ttlMs !== null && !Number.isSafeInteger(ttlMs)) throw new TypeError("ttlMs is a whole number");
    this.registered.set(token, { user, revision, ttlMs });
  };
  forgetUser = (user: string) => {
    for (const [token, of] of this.registered) if (of.user === user) this.registered.delete(token);
  };
  forgetAll = () => this.registered.clear();
  identified = (ask: number, error: { code: number; message: string } | null) => {
    this.answers.push(`${ask} ${error === null ? "look again" : `${error.code} ${error.message}`}`);
  };
}

/** Hashes that are readable: of the password's own bytes. Comparing waits for `open`. */
export class FakeHashing implements Hashing {
  readonly width = 1;
  readonly compared: string[] = [];
  #gate: Promise<void> = Promise.resolve();
  #opened: () => void = () => {};

  /** Nothing is compared until `open`. */
  close(): void {
    this.#gate = new Promise((resolve) => {
      this.#opened = resolve;
    });
  }

  open(): void {
    this.#opened();
  }

  hash = (password: Uint8Array, cost: number) => Promise.resolve(`${cost}:${Buffer.from(password).toString("hex")}`);
  verify = async (password: Uint8Array, hash: string) => {
    this.compared.push(`${Buffer.from(password).toString()} ${hash}`);
    await this.#gate;
    return hash.endsWith(`:${Buffer.from(password).toString("hex")}`);
  };
  stop = () => Promise.resolve();
}

/** The rows that writes leave. */
export class Rows {
  readonly #rows = new Map<string, MetaRow>();

  write(writes: readonly MetaWrite[]): void {
    for (const { table, key, value } of writes) {
      const name = `${table} ${Buffer.from(key).toString("hex")}`;
      if (value === null) this.#rows.delete(name);
      else this.#rows.set(name, { table, key, value });
    }
  }

  list(): MetaRow[] {
    return [...this.#rows.values()];
  }

  /** Comparable: keys as text, values in hex, ascending. */
  dump(): string[] {
    return this.list()
      .map(({ key, value }) => `${Buffer.from(key).toString()} = ${Buffer.from(value).toString("hex")}`)
      .sort();
  }
}

/** Applies a request as the log would bring it. */
export function applyTo<K extends RequestName>(
  store: AuthStore,
  name: K,
  request: RequestFields<K>,
  caller: Caller = null,
): Applied {
  return store.apply(decodeCommand(encodeCommand(name, request, caller)), caller);
}

/** Auth on a replica of one: what is proposed is applied at once, and its writes are in `rows`. */
export class Member {
  readonly native = new FakeNative();
  readonly clock = new FakeClock();
  readonly hashing = new FakeHashing();
  readonly rows = new Rows();
  readonly lines: string[];
  readonly auth: Auth;
  /** Everything that went into the log, as text. */
  readonly proposed: string[] = [];
  /** Called before a proposal is applied. */
  beforeApply: () => void = () => {};
  /** Called before a read index is known: what a member that lags behind has yet to apply. */
  beforeRead: () => void = () => {};
  applied = 10;

  constructor(config: Partial<AuthOptions["config"]> = {}, rows: readonly MetaRow[] = []) {
    const { log, lines } = recordingLog();
    this.lines = lines;
    this.rows.write(rows);
    this.auth = new Auth({
      config: {
        ...{ authToken: "simple", bcryptCost: 4, authTokenTtlSeconds: 0 },
        ...{ electionTimeoutMs: 1_000, maxRequestBytes: 1_572_864 },
        ...config,
      },
      rows,
      native: this.native,
      log,
      clock: this.clock,
      hashing: this.hashing,
      replica: () => ({
        readIndex: async () => this.beforeRead(),
        proposeControl: (command) => Promise.resolve(this.#propose(command)),
        appliedWithin: (index, ms) => this.#appliedWithin(index, ms),
      }),
    });
  }

  #propose(command: ControlCommand): unknown {
    this.proposed.push(JSON.stringify(command));
    const { beforeApply } = this;
    this.beforeApply = () => {};
    beforeApply();
    return this.apply(command);
  }

  /** Another member's proposal comes with the log. */
  apply(command: ControlCommand): unknown {
    if (command.type !== "auth") throw new Error("auth proposes nothing else");
    this.applied += 1;
    const { result, writes } = this.auth.handler(command, { index: this.applied, term: 2 });
    this.rows.write(writes);
    this.native.revision = this.auth.revision;
    return result;
  }

  async #appliedWithin(index: number, ms: number): Promise<boolean> {
    if (this.applied >= index) return true;
    await new Promise<void>((resolve) => this.clock.after(ms, resolve));
    return this.applied >= index;
  }

  change<K extends keyof AuthChanges>(name: K, request: AuthChanges[K], caller: Caller = null): Promise<void> {
    return this.auth.change(name, request, caller);
  }

  /** Users root and u (password pw, role r on keys a to b), and auth is on. */
  async setUp(): Promise<this> {
    await this.change("userAdd", { name: "root", password: "rootpw" });
    await this.change("userGrantRole", { user: "root", role: "root" });
    await this.change("userAdd", { name: "u", password: "pw" });
    await this.change("roleAdd", { name: "r" });
    await this.change("userGrantRole", { user: "u", role: "r" });
    const perm = { key: Buffer.from("a"), rangeEnd: Buffer.from("b") };
    await this.change("roleGrantPermission", { name: "r", perm });
    await this.change("authEnable", {});
    return this;
  }

  /** The caller as the edge would find it now. */
  as(user: string): Caller {
    return { user, revision: this.auth.revision };
  }
}

/** "code text" of what a promise rejects with, "OK" if it resolves. */
export async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "OK";
  } catch (error) {
    const { code, message } = error as { code?: number; message: string };
    return `${code} ${message}`;
  }
}

export function metadata(fields: Record<string, string | string[]>): Metadata {
  const made = new Metadata();
  for (const [name, value] of Object.entries(fields)) for (const each of [value].flat()) made.add(name, each);
  return made;
}
