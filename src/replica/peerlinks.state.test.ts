// What is told of links: who is out of reach and why, and how old a link is.

import { describe, expect, it } from "vitest";
import type { NativeEngine } from "../native/binding.js";
import { type Clock, systemClock } from "./clock.js";
import { type PeerEvent, PeerLinks } from "./peerlinks.js";

interface Line {
  text: string;
  fields: Record<string, unknown>;
}

const clock: Clock = { ...systemClock, nowMs: () => 10_000 };

function made(): { links: PeerLinks; warnings: Line[] } {
  const warnings: Line[] = [];
  const peers = { set: () => {}, remove: () => {} };
  const links = new PeerLinks({ peers } as unknown as NativeEngine, {
    id: 1n,
    clock,
    log: {
      info: () => {},
      warn: (text: string, fields: Record<string, unknown>) => void warnings.push({ text, fields }),
    } as never,
    heartbeatMs: 100,
    removed: () => {},
    snapshotArrived: () => {},
  });
  for (const id of [2n, 3n, 4n, 5n]) links.set(id, []);
  return { links, warnings };
}

const link = (peer: bigint, state: "active" | "inactive" | "gone" | "refused", text: string): PeerEvent => ({
  type: "peerLink",
  peer,
  state,
  ageMs: 50,
  version: "3.7.3",
  status: 404,
  text,
});

describe("peers that are out of reach", () => {
  it("are named with the reason, those that never were in reach too, until they are or are removed", () => {
    const { links, warnings } = made();
    links.handle(link(2n, "inactive", "https://m2:1: cannot be dialled"));
    links.handle(link(3n, "gone", "http://m3:1: Connection refused"));
    links.handle(link(4n, "active", ""));
    links.handle(link(5n, "refused", "error sender not found"));
    warnings.length = 0;
    links.reportUnreachable();
    const told = () => warnings.splice(0).map(({ fields }) => [fields["remote-peer-id"], fields["error"]]);
    expect(warnings.map(({ text }) => text)).toEqual(Array(3).fill("prober detected unhealthy status"));
    expect(told()).toEqual([
      ["2", "https://m2:1: cannot be dialled"],
      ["3", "http://m3:1: Connection refused"],
      ["5", "error sender not found"],
    ]);
    links.handle(link(3n, "active", ""));
    links.remove(5n);
    links.reportUnreachable();
    expect(told()).toEqual([["2", "https://m2:1: cannot be dialled"]]);
  });

  it("are forgotten with their links, also when those say later how they ended", () => {
    const { links, warnings } = made();
    links.remove(2n);
    links.handle(link(2n, "inactive", "http://m2:1: not connected in 5s"));
    links.handle(link(2n, "active", ""));
    links.remove(3n);
    links.handle(link(3n, "gone", "http://m3:1: Connection refused"));
    links.reportUnreachable();
    expect(warnings).toEqual([]);
    expect(links.isConnected(2n)).toBe(false);
  });
});

describe("a link", () => {
  it("is as old as the connection is, however late its event is heard", () => {
    const { links } = made();
    links.handle(link(2n, "active", ""));
    expect(links.connectedSince(2n, 9_949)).toBe(false);
    expect(links.connectedSince(2n, 9_950)).toBe(true);
  });
});
