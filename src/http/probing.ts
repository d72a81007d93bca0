// What a member answers to the probes of its peers: that it is there, and its time, which tells them how far the clocks
// are apart.

import { formatOffset } from "../log/encode.js";
import { answer, type HttpAnswer } from "./message.js";

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/** Nanoseconds since 1970: Date knows the millisecond, the monotonic clock how much of it has passed. */
export class WallClock {
  readonly #wallMs: () => number;
  readonly #monotonicNs: () => bigint;
  #offsetNs = 0n;

  constructor(wallMs: () => number = Date.now, monotonicNs: () => bigint = process.hrtime.bigint) {
    this.#wallMs = wallMs;
    this.#monotonicNs = monotonicNs;
  }

  now(): bigint {
    const wallNs = BigInt(this.#wallMs()) * NS_PER_MS;
    const monotonicNs = this.#monotonicNs();
    const nowNs = monotonicNs + this.#offsetNs;
    if (nowNs >= wallNs && nowNs < wallNs + NS_PER_MS) return nowNs;
    // The first look, or somebody has set the clock: peers must see it as it is.
    this.#offsetNs = wallNs - monotonicNs;
    return wallNs;
  }
}

/** As Go prints a time in JSON: the fraction without trailing zeros, then `Z` or the offset as `+05:30`. */
export function formatTime(timeNs: bigint, offsetMinutes: number): string {
  const local = new Date(Number(timeNs / NS_PER_MS) + offsetMinutes * 60_000).toISOString();
  const seconds = local.slice(0, local.indexOf("."));
  const fraction = String(timeNs % NS_PER_SECOND)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}${formatOffset(offsetMinutes, ":")}`;
}

const systemClock = new WallClock();

export function answerProbe(): HttpAnswer {
  const timeNs = systemClock.now();
  const offsetMinutes = -new Date(Number(timeNs / NS_PER_MS)).getTimezoneOffset();
  const body = `{"OK":true,"Now":"${formatTime(timeNs, offsetMinutes)}"}\n`;
  return answer(200, "text/plain; charset=utf-8", body);
}
