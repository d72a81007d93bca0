import { describe, expect, it } from "vitest";
import { answerProbe, formatTime, WallClock } from "./probing.js";

const START_MS = Date.UTC(2026, 10, 21, 23, 16, 10, 454);
const START_NS = BigInt(START_MS) * 1_000_000n;

describe("WallClock", () => {
  function clockAt(wall: { ms: number; monotonicNs: bigint }) {
    return new WallClock(
      () => wall.ms,
      () => wall.monotonicNs,
    );
  }

  it("has the nanoseconds that Date leaves out", () => {
    const wall = { ms: START_MS, monotonicNs: 77n };
    const clock = clockAt(wall);
    expect(clock.now()).toBe(START_NS);
    wall.monotonicNs += 761_490n;
    expect(clock.now()).toBe(START_NS + 761_490n);
    wall.ms += 3;
    wall.monotonicNs += 3_000_000n;
    expect(clock.now()).toBe(START_NS + 3_761_490n);
  });

  it("follows a clock that is set, in both directions", () => {
    const wall = { ms: START_MS, monotonicNs: 5n };
    const clock = clockAt(wall);
    clock.now();
    for (const leapMs of [3_600_000, -7_200_000, 1, -1]) {
      wall.ms += leapMs;
      wall.monotonicNs += 10n;
      expect(clock.now()).toBe(BigInt(wall.ms) * 1_000_000n);
    }
  });
});

describe("formatTime", () => {
  it("prints nanoseconds without trailing zeros", () => {
    expect(formatTime(START_NS + 761_490n, 0)).toBe("2026-11-21T23:16:10.45476149Z");
    expect(formatTime(START_NS + 1n, 0)).toBe("2026-11-21T23:16:10.454000001Z");
    expect(formatTime(START_NS, 0)).toBe("2026-11-21T23:16:10.454Z");
    expect(formatTime(START_NS - 454_000_000n, 0)).toBe("2026-11-21T23:16:10Z");
  });

  it("prints local time with its offset", () => {
    expect(formatTime(START_NS, 330)).toBe("2026-11-22T04:46:10.454+05:30");
    expect(formatTime(START_NS, -480)).toBe("2026-11-21T15:16:10.454-08:00");
  });
});

describe("answerProbe", () => {
  it("tells the time of now", () => {
    const beforeMs = Date.now();
    const { body, ...given } = answerProbe();
    const afterMs = Date.now();
    expect(given).toEqual({ status: 200, headers: [["Content-Type", "text/plain; charset=utf-8"]] });
    const shape = /^\{"OK":true,"Now":"([0-9-]{10}T[0-9:]{8}(?:\.\d{0,8}[1-9])?(?:Z|[+-]\d\d:\d\d))"\}\n$/;
    const timeMs = Date.parse(shape.exec(body as string)?.[1] ?? "");
    expect(timeMs).toBeGreaterThanOrEqual(beforeMs);
    expect(timeMs).toBeLessThanOrEqual(afterMs);
  });
});
