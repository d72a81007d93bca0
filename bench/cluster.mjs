// The rows about three members; h2load and the load generator talk to one of them at a time.

import { kvRows, sizes as kvSizes } from "./kv.mjs";
import { load } from "./load.mjs";
import { measured, percentile } from "./measure.mjs";
import { Server } from "./server.mjs";

export const sizes = {
  small: { ...kvSizes.small, kills: 1, missed: 2000 },
  full: { ...kvSizes.full, kills: 20, missed: 1_000_000 },
};

const memberCount = 3;
const serveWaitSeconds = 60;

/** Three members that stand where a single server stands in a row: what they cost is the sum of all. */
export class Cluster {
  constructor(label, members) {
    this.label = label;
    this.members = members;
    this.target = members[0];
  }

  get endpoint() {
    return this.target.endpoint;
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
  }

  /** Finds the leader by the members' own status and talks to it from now on, or to a follower. */
  async talkTo(role) {
    for (const member of this.members) {
      const { extra } = await load("status", member);
      if ((extra.leader === 1) === (role === "leader")) {
        this.target = member;
        return member;
      }
    }
    throw new Error(`${this.label} has no ${role}`);
  }
}

export async function startThree(label, flags) {
  const members = [];
  for (let i = 1; i <= memberCount; i++) {
    const member = new Server(label, { cpus: flags.cpus, name: `m${i}` });
    await member.choosePorts();
    members.push(member);
  }
  const initialCluster = members.map((member) => `${member.name}=http://${member.peer}`).join(",");
  for (const member of members) {
    member.launch(initialCluster);
  }
  for (const member of members) {
    await load("await", member, { seconds: serveWaitSeconds });
  }
  const cluster = new Cluster(label, members);
  await cluster.talkTo("leader");
  return cluster;
}

/** The unary rows of one member, against the leader; then what only a cluster does. CPU is of all three, and of the one that was asked. */
export function clusterRows(size) {
  const targets = { puts: "≥ ×3, ≤ 35 µs CPU (20)", ranges: "≥ ×2.5, (≤ 9 µs)", "put-after-put": "≤ ×0.8" };
  const unary = kvRows(size).filter((row) => row.name in targets);
  const puts = unary.find((row) => row.name === "puts");
  return [
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
    {
      name: "failover",
      title: `leader killed ${size.kills} times: time without writes (p50, and p99 as the longest)`,
      figure: "p50",
      target: "below etcd's median and maximum",
      perOperation: false,
      run: (cluster) => measuredFailover(cluster, size.kills),
    },
    {
      name: "catch-up",
      title: `member down for ${size.missed} puts: until it has caught up (p50 / p99 are of puts meanwhile)`,
      figure: "seconds",
      target: "≤ ×0.5, put p99 ≤ etcd's",
      perOperation: false,
      run: (cluster) => catchUp(cluster, size.missed),
    },
  ];
}

async function measuredFailover(cluster, kills) {
  const gapsMs = [];
  for (let kill = 0; kill < kills; kill++) {
    const leader = await cluster.talkTo("leader");
    const survivors = cluster.members.filter((member) => member !== leader);
    const killedAtMs = performance.now();
    await leader.stop("SIGKILL");
    cluster.target = survivors[0];
    await load("await", cluster, { seconds: serveWaitSeconds });
    await load("put", cluster, { requests: 1 });
    gapsMs.push(performance.now() - killedAtMs);
    leader.launch();
    await load("await", leader, { seconds: serveWaitSeconds });
  }
  const figures = { operations: kills, seconds: gapsMs.reduce((sum, gap) => sum + gap, 0) / 1000 };
  return {
    ...(await measured(cluster, async () => figures)),
    p50Ms: percentile(gapsMs, 0.5),
    p99Ms: Math.max(...gapsMs),
  };
}

async function catchUp(cluster, missed) {
  const leader = await cluster.talkTo("leader");
  const follower = cluster.members.find((member) => member !== leader);
  await follower.stop("SIGKILL");
  await load("fill", leader, { keys: missed, clients: 32, connections: 8 });
  const wanted = (await load("revision", leader)).extra.revision;
  follower.launch();
  return measured(cluster, () =>
    load("catch-up", leader, { revision: wanted, follower: follower.endpoint, clients: 4, connections: 4 }),
  );
}
