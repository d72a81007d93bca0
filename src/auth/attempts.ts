// Wrong passwords slow down who tries them. An address that has failed often gets one attempt after the other, at ever
// longer intervals, and a user with whom many fail has all his logins wait a little: long enough to make guessing from
// many addresses slow, short enough that he gets in himself from another one.

import { rpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { Clock } from "../replica/clock.js";

/** Failures that cost nothing: people mistype, and programs have a password that was changed. */
const FREE_OF_USER = 5;
const FREE_OF_ADDRESS = 10;
/** What the first failure beyond those costs; each more costs twice as much. */
const FIRST_DELAY_MS = 100;
/** Below the time that etcdctl gives a login. */
const USER_DELAY_MS_MAX = 1_000;
const ADDRESS_DELAY_MS_MAX = 5_000;
/** After so long without a failure half of them are forgotten. */
const HALF_LIFE_MS = 60_000;

interface Failures {
  count: number;
  lastMs: number;
  /** No attempt begins before. */
  nextMs: number;
}

/** How often each of many has failed; bounded, who has not failed for the longest time is forgotten first. */
class Tally {
  readonly #of = new Map<string, Failures>();

  constructor(
    private readonly free: number,
    private readonly delayMsMax: number,
  ) {}

  at(name: string): Failures | null {
    return this.#of.get(name) ?? null;
  }

  failed(name: string, nowMs: number): Failures {
    const before = this.#of.get(name);
    const failures = { count: this.#left(before, nowMs) + 1, lastMs: nowMs, nextMs: before?.nextMs ?? 0 };
    this.#of.delete(name);
    this.#of.set(name, failures);
    const [oldest] = this.#of.keys();
    if (this.#of.size > limits.failedLoginsMax && oldest !== undefined) this.#of.delete(oldest);
    return failures;
  }

  #left(failures: Failures | undefined, nowMs: number): number {
    if (!failures) return 0;
    return Math.floor(failures.count / 2 ** Math.floor((nowMs - failures.lastMs) / HALF_LIFE_MS));
  }

  /** The interval between two attempts. */
  delayMs(failures: Failures, nowMs: number): number {
    const paid = this.#left(failures, nowMs) - this.free;
    return paid <= 0 ? 0 : Math.min(this.delayMsMax, FIRST_DELAY_MS * 2 ** (paid - 1));
  }

  forgive(name: string, count: number): void {
    const failures = this.#of.get(name);
    if (!failures) return;
    failures.count -= count;
    if (failures.count <= 0) this.#of.delete(name);
  }

  clear(name: string): number {
    const count = this.#of.get(name)?.count ?? 0;
    this.#of.delete(name);
    return count;
  }
}

export class Attempts {
  readonly #users = new Tally(FREE_OF_USER, USER_DELAY_MS_MAX);
  readonly #addresses = new Tally(FREE_OF_ADDRESS, ADDRESS_DELAY_MS_MAX);
  /** Of a user at an address: what his success there clears, and no more. */
  readonly #pairs = new Tally(Number.POSITIVE_INFINITY, 0);
  #waiting = 0;
  failedTotal = 0;
  delayedTotal = 0;
  refusedTotal = 0;

  constructor(private readonly clock: Clock) {}

  /** Resolves when this login may be tried. Rejects with tooManyRequests if that is too far away. */
  async admit(user: string, address: string): Promise<void> {
    const nowMs = this.clock.nowMs();
    const waitMs = this.#startMs(user, networkOf(address), nowMs) - nowMs;
    if (waitMs <= 0) return;
    this.delayedTotal += 1;
    this.#waiting += 1;
    await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
    this.#waiting -= 1;
  }

  #startMs(user: string, network: string, nowMs: number): number {
    const ofUser = this.#users.at(user);
    const ofAddress = this.#addresses.at(network);
    const startMs = Math.max(nowMs, ofUser?.nextMs ?? 0, ofAddress?.nextMs ?? 0);
    if (startMs - nowMs > limits.loginDelayMsMax || (startMs > nowMs && this.#waiting >= limits.waitingLoginsMax)) {
      this.refusedTotal += 1;
      throw rpcError("tooManyRequests");
    }
    // Those of one address stand in line; of a user's the line would be as long as anybody makes it.
    if (ofAddress) ofAddress.nextMs = startMs + this.#addresses.delayMs(ofAddress, nowMs);
    return startMs;
  }

  failed(user: string, address: string): void {
    const nowMs = this.clock.nowMs();
    const network = networkOf(address);
    this.failedTotal += 1;
    this.#pairs.failed(pairOf(user, network), nowMs);
    const ofUser = this.#users.failed(user, nowMs);
    ofUser.nextMs = nowMs + this.#users.delayMs(ofUser, nowMs);
    const ofAddress = this.#addresses.failed(network, nowMs);
    ofAddress.nextMs = Math.max(ofAddress.nextMs, nowMs + this.#addresses.delayMs(ofAddress, nowMs));
  }

  /** Clears the user, and of the address what he did wrong there: who has a password of his own frees no guesses so. */
  succeeded(user: string, address: string): void {
    const network = networkOf(address);
    this.#users.clear(user);
    this.#addresses.forgive(network, this.#pairs.clear(pairOf(user, network)));
  }
}

const pairOf = (user: string, network: string) => JSON.stringify([user, network]);

/** Who has one address of IPv6 has, as a rule, all that share its first 64 bits. Ports do not count. */
export function networkOf(peer: string): string {
  const host = /^\[(.*)\](?::\d+)?$/.exec(peer)?.[1] ?? (isHostAndPort(peer) ? peer.replace(/:\d+$/, "") : peer);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (mapped !== undefined) return mapped;
  return host.includes(":") ? `${firstGroups(host.toLowerCase())}::/64` : host;
}

const isHostAndPort = (peer: string) => peer.indexOf(":") === peer.lastIndexOf(":");

function firstGroups(address: string): string {
  const [before = "", after] = address.split("%")[0]?.split("::") ?? [];
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...(after === undefined ? [] : zeros), ...tail]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}
