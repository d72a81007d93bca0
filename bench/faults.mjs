// What faults of a member cost the clients of the others, and how long a member that was away needs to catch up. Where
// the machine allows it, each member has a network of its own.
import { memberCount, startThree } from "./cluster.mjs";
import { Lab, labMissing } from "./lab.mjs";
import { load } from "./load.mjs";
import { measured, percentile } from "./measure.mjs";

const serveWaitSeconds = 60;
// Beside a member that catches up: as many for both, so few that neither log outgrows what it keeps meanwhile.
const putsMeanwhile = { rate: 500, clients: 4, connections: 4 };
// What of the log both keep follows from these; only the full size misses more than their defaults keep. netcd makes one
// entry of what comes at the same time, so that bytes bound it first: a file of the log has 64 MiB.
const shortLog = (behind) => ["--max-wals=1", "--snapshot-count=1000", `--snapshot-catchup-entries=${behind}`];

/**
 * `missed` are the rows about catching up: so many transactions of so many puts of so many bytes (256). At its defaults etcd keeps 5,000
 * entries for who is away, netcd five files of its log; `log` is less than either, `copy` more than both.
 */
export const sizes = {
  small: {
    strikes: 1,
    flags: shortLog(500),
    missed: { log: [20, 10], between: [2000, 10], copy: [1600, 10, 8192] },
  },
  medium: {
    strikes: 3,
    flags: shortLog(1500),
    missed: { log: [200, 100], between: [1800, 100], copy: [4000, 100] },
  },
  full: {
    strikes: 10,
    flags: [],
    missed: { log: [2000, 100], between: [10_000, 100], copy: [20_000, 100] },
  },
};

let missing;

/** Why there is no lab; looked for once. */
function whyNoLab() {
  missing ??= labMissing();
  return missing;
}

/** What cannot be measured here, and why. */
export function skipped() {
  return whyNoLab() && `a machine that is killed, a member that is cut off: ${whyNoLab()}`;
}

export function startInLab(label, { cpus }, { flags: serverFlags }) {
  return startThree(label, { cpus, serverFlags, lab: whyNoLab() ? undefined : new Lab(memberCount) });
}

/** `strike` hits the leader and returns when that was done; `mend` makes it whole. */
const faults = [
  {
    name: "killed-process",
    title: "leader's process killed",
    strike: async (leader) => {
      const at = performance.now();
      await leader.stop("SIGKILL");
      return at;
    },
    mend: (leader) => leader.launch(),
  },
  {
    name: "killed-machine",
    title: "leader's machine killed (its packets vanish)",
    needsLab: true,
    strike: async (leader) => {
      leader.options.host.unplug();
      const at = performance.now();
      await leader.stop("SIGKILL");
      return at;
    },
    mend: (leader) => {
      leader.options.host.plug();
      leader.launch();
    },
  },
  {
    name: "partition",
    title: "leader cut off from the other members (clients still reach it)",
    needsLab: true,
    strike: async (leader) => {
      leader.options.host.isolate();
      return performance.now();
    },
    mend: (leader) => leader.options.host.lab.heal(),
  },
];

export function faultRows(size) {
  const possible = faults.filter(({ needsLab }) => !needsLab || !whyNoLab());
  return [...possible.map((fault) => failoverRow(fault, size.strikes)), ...catchUpRows(size)];
}

function failoverRow({ name, title, strike, mend }, strikes) {
  return {
    name,
    title: `${title}, ${strikes} times a round: time without writes of the others' clients (p50, and p99 as the longest)`,
    figure: "p50",
    target: "below etcd's median and maximum",
    perOperation: false,
    run: async (cluster) => {
      const gapsMs = [];
      for (let i = 0; i < strikes; i++) {
        gapsMs.push(await gapMs(cluster, strike, mend));
      }
      const figures = { operations: strikes, seconds: gapsMs.reduce((sum, gap) => sum + gap, 0) / 1000 };
      return {
        ...(await measured(cluster, async () => figures)),
        p50Ms: percentile(gapsMs, 0.5),
        p99Ms: Math.max(...gapsMs),
      };
    },
  };
}

/** From the fault until a client of a member that is well has read and put. */
async function gapMs(cluster, strike, mend) {
  const leader = await cluster.talkTo("leader");
  const struckAtMs = await strike(leader);
  cluster.target = cluster.members.find((member) => member !== leader);
  await load("await", cluster, { seconds: serveWaitSeconds });
  await load("put", cluster, { requests: 1 });
  const gap = performance.now() - struckAtMs;
  mend(leader);
  await load("await", leader, { seconds: serveWaitSeconds });
  return gap;
}

function catchUpRows({ missed }) {
  const targets = { log: "–", between: "≤ ×0.5, put p99 ≤ etcd's", copy: "≤ ×1, put p99 ≤ etcd's" };
  return Object.entries(missed).map(([side, [txns, puts, valueBytes = 256]]) => ({
    name: `catch-up-${side}`,
    title:
      `member down for ${txns} txns of ${puts} puts (${megabytes(txns * puts * (keyBytes + valueBytes))} MB): ` +
      `until it has caught up (p50 / p99 are of ${putsMeanwhile.rate} puts/s meanwhile)`,
    note: ({ netcd, etcd }) => `; netcd ${ways(netcd.each)}, etcd ${ways(etcd.each)}`,
    figure: "seconds",
    target: targets[side],
    perOperation: false,
    prepare: forgetCopies,
    run: async (cluster) => {
      const result = await catchUp(cluster, { txns, puts, valueBytes });
      const { copies } = result;
      // How far etcd's log has got while its member started depends on the machine; the rest does not.
      if (side === "copy" ? copies === 0 : side === "log" && cluster.label === "netcd" && copies > 0) {
        throw new Error(`${cluster.label}: ${copies} copies of the store for ${txns} txns of ${puts} puts`);
      }
      return result;
    },
  }));
}

const keyBytes = 41;
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

/** How the member got what it missed. */
function ways(rounds) {
  const copied = rounds.filter(({ copies }) => copies > 0).length;
  if (copied === 0) return "from the log";
  return copied === rounds.length ? "by a copy of the store" : `by a copy in ${copied} of ${rounds.length} rounds`;
}

/** A leader of etcd that has sent a copy keeps its whole log for 30 s; a process that has sent none does not. */
async function forgetCopies(cluster) {
  const leader = await cluster.talkTo("leader");
  await leader.stop();
  leader.launch();
  await load("await", leader, { seconds: serveWaitSeconds });
}

async function catchUp(cluster, { txns, puts, valueBytes }) {
  const leader = await cluster.talkTo("leader");
  const follower = cluster.members.find((member) => member !== leader);
  await follower.stop("SIGKILL");
  const fill = { keys: txns * puts, txn: puts, "value-bytes": valueBytes, clients: 32, connections: 8 };
  await load("fill", leader, fill);
  const wanted = (await load("revision", leader)).extra.revision;
  follower.launch();
  const result = await measured(cluster, () =>
    load("catch-up", leader, { revision: wanted, follower: follower.endpoint, ...putsMeanwhile }),
  );
  // The process is new, so that its counter is of this time.
  const { copies } = (await load("copies", follower)).extra;
  return { ...result, copies };
}
