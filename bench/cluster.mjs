// The rows about three members; h2load and the load generator talk to one of them at a time.

import { setTimeout as sleep } from "node:timers/promises";
import { idleRow, kvRows, sizes as kvSizes } from "./kv.mjs";
import { load, serves } from "./load.mjs";
import { Server } from "./server.mjs";

export const sizes = {
  small: kvSizes.small,
  medium: kvSizes.medium,
  full: kvSizes.full,
};

export const memberCount = 3;
// A member that was cut off may not know for a moment who leads.
const leaderWaitMsMax = 30_000;
const leaderWaitMs = 100;

/** Three members that stand where a single server stands in a row: what they cost is the sum of all. */
export class Cluster {
  /** @param {import("./lab.mjs").Lab} [lab] the network that they have of their own */
  constructor(label, members, lab) {
    this.label = label;
    this.members = members;
    this.lab = lab;
    this.target = members[0];
  }

  get endpoint() {
    return this.target.endpoint;
  }

  get reach() {
    return this.target.reach;
  }

  get certificates() {
    return this.target.certificates;
  }

  cpuSeconds() {
    return this.sum((member) => member.cpuSeconds());
  }

  pids() {
    return this.members.flatMap((member) => member.pids());
  }

  databaseBytes() {
    return this.sum((member) => member.databaseBytes());
  }

  logTail() {
    return this.members.map((member) => member.logTail()).join("\n");
  }

  sum(of) {
    return this.members.reduce((total, member) => total + of(member), 0);
  }

  async destroy() {
    await Promise.all(this.members.map((member) => member.destroy()));
    this.lab?.remove();
  }

  /** Finds the leader by the members' own status and talks to it from now on, or to a follower. */
  async talkTo(role) {
    const until = performance.now() + leaderWaitMsMax;
    do {
      for (const member of this.members) {
        const { extra } = await load("status", member);
        if ((extra.leader === 1) === (role === "leader")) {
          this.target = member;
          return member;
        }
      }
      await sleep(leaderWaitMs);
    } while (performance.now() < until);
    throw new Error(`${this.label} has no ${role}`);
  }
}

/**
 * @param {{ cpus?: string, serverFlags?: string[], lab?: import("./lab.mjs").Lab,
 *   certificates?: import("./certificates.mjs").Certificates }} options
 */
export async function startThree(label, options) {
  const members = [];
  for (let i = 1; i <= memberCount; i++) {
    const host = options.lab?.hosts[i - 1];
    const { cpus, serverFlags: flags, certificates } = options;
    const member = new Server(label, { cpus, flags, certificates, name: `m${i}`, host });
    await member.choosePorts();
    members.push(member);
  }
  const initialCluster = members.map((member) => `${member.name}=${member.peerUrl}`).join(",");
  for (const member of members) {
    member.launch(initialCluster);
  }
  for (const member of members) {
    await serves(member);
  }
  const cluster = new Cluster(label, members, options.lab);
  await cluster.talkTo("leader");
  return cluster;
}

/** The unary rows of one member, against the leader and through a follower. CPU is of all three, and of the one that was asked. */
export function clusterRows(size) {
  const targets = { puts: "≥ ×3, ≤ 35 µs CPU (20)", ranges: "≥ ×2.5, (≤ 9 µs)", "put-after-put": "≤ ×0.8" };
  const unary = kvRows(size).filter((row) => row.name in targets);
  const puts = unary.find((row) => row.name === "puts");
  return [
    idleRow(size, "three idle members together", "their"),
    ...unary.map((row) => ({
      ...row,
      title: `${row.title}, leader`,
      target: targets[row.name],
      prepare: (cluster) => cluster.talkTo("leader"),
    })),
    {
      ...puts,
      name: "follower-puts",
      title: "puts through a follower, same",
      target: "≥ ×3",
      prepare: (cluster) => cluster.talkTo("follower"),
    },
  ];
}
