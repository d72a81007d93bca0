// Micro benches of the boundary between TypeScript and Rust and of what raft does once a batch:
//   node bench/micro.mjs [--size small|full]
// Needs the built addon and dist/ (npm run build).
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import benny from "benny";
import { Engine } from "../dist/native/engine.js";
import { loadBinding } from "../dist/native/load.js";
import { etcdserverpb } from "../dist/proto/index.js";
import { Raft } from "../dist/raft/index.js";
import { systemClock } from "../dist/replica/clock.js";
import { decodeMessage, encodeMessage } from "../dist/replica/peercodec.js";
import { Replica } from "../dist/replica/replica.js";

const { values: flags } = parseArgs({ options: { size: { type: "string", default: "full" } } });
const measured =
  flags.size === "small"
    ? { minSamples: 1, maxTime: 0.05, initCount: 1 }
    : { minSamples: 20, maxTime: 3, initCount: 1 };

const memberId = 1n;
const put = 1;
const batchKind = 1;
const noWork = () => ({ result: null, writes: [] });

/** One voter on the real data plane, without any network. */
async function oneVoter(dir) {
  const engine = new Engine(loadBinding(), {
    memberDir: join(dir, "member"),
    walDir: null,
    clusterId: 1n,
    memberId,
    unsafeNoFsync: true,
    quotaBackendBytes: 0,
    maxRequestBytes: 1_572_864,
    maxTxnOps: 128,
    maxConcurrentStreams: 1000,
    grpcKeepaliveMinTimeMs: 5000,
    grpcKeepaliveIntervalMs: 7_200_000,
    grpcKeepaliveTimeoutMs: 20_000,
    requestTimeoutMs: 7000,
    electionTimeoutMs: 1000,
    leaseTtlSecondsMin: 2,
    extensiveMetrics: false,
    warningUnaryRequestDurationMs: 300,
    logRequests: false,
    warningApplyDurationMs: 100,
    audit: null,
    peerReadTimeoutMs: 5000,
    peerWriteTimeoutMs: 3000,
    backendBatchIntervalMs: 100,
    backendBatchLimit: null,
    compactionBatchLimit: null,
    compactionSleepIntervalMs: 10,
    watchProgressNotifyIntervalMs: 600_000,
    authToken: "simple",
    frontThreads: 1,
    appendGrant: true,
  });
  const recovered = await engine.native.open();
  const replica = new Replica(engine.native, recovered, {
    id: memberId,
    heartbeatMs: 100,
    electionMs: 1000,
    requestTimeoutMs: 7_000,
    preVote: true,
    appendGrant: true,
    logRetention: { snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: Number.POSITIVE_INFINITY },
    initialMembers: [{ id: memberId, context: null }],
    handlers: /** @type {import("../dist/replica/commands.js").ControlHandlers} */ ({}),
    membership: { check: () => null, applied: noWork },
    transport: null,
    clock: systemClock,
    random: (below) => randomInt(below),
    otherEvent: () => {},
    snapshotInstalled: () => {},
    snapshotApplied: () => {},
    logCompacted: () => {},
  });
  engine.onWake(() => replica.wake());
  const leads = new Promise((done) => replica.onLeaderChanged(({ isLeader }) => isLeader && done()));
  replica.start();
  await leads;
  await replica.readIndex();
  return { engine, replica };
}

/** A leader of one voter whose log takes a batch and commits it, as `appended` and `stable` events have it do. */
function loneLeader() {
  const confState = {
    voters: [memberId],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  const raft = new Raft(
    {
      id: memberId,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: true,
      checkQuorum: true,
      leaseReads: false,
      messageBytesMax: 1 << 20,
      inflightMessagesMax: 256,
      inflightBytesMax: 64 << 20,
      uncommittedBytesMax: 1 << 30,
      random: () => 0,
    },
    {
      hardState: { term: 1, vote: 0n, commit: 0 },
      confState,
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: [],
      applied: 0,
    },
  );
  raft.campaign();
  return raft;
}

/** Takes everything that raft has ready and says that it is done. */
function settle(raft) {
  while (raft.hasReady) {
    const ready = raft.ready();
    if (ready.persist) raft.persisted(ready.seq);
    if (ready.committedUpTo > raft.appliedIndex) raft.applied(ready.committedUpTo);
  }
}

function batchThroughRaft(raft) {
  raft.propose([{ kind: batchKind, bytes: 50_000, payload: 1, leavesJoint: false }]);
  settle(raft);
  if (raft.appliedIndex % 1000 === 0) raft.compact(raft.appliedIndex);
}

/** @type {import("../dist/raft/types.js").AppendMessage} */
const appendMessage = {
  type: "append",
  from: 1n,
  to: 2n,
  term: 7,
  prevIndex: 123_456,
  prevTerm: 7,
  commit: 123_456,
  entries: [{ index: 123_457, term: 7, kind: batchKind, bytes: 50_000, payload: 9 }],
};
const appendMetas = appendMessage.entries.map(({ payload: _payload, ...meta }) => meta);

const directory = mkdtempSync(join(tmpdir(), "netcd-micro-"));
const { engine, replica } = await oneVoter(directory);
const request = etcdserverpb.PutRequest.encode({
  key: Buffer.from("micro"),
  value: Buffer.alloc(256),
}).finish();
const raft = loneLeader();
settle(raft);
const header = encodeMessage(appendMessage);

await benny.suite(
  "boundary and control plane",
  benny.add("a call into Rust (storeStatus)", () => engine.native.storeStatus(), measured),
  benny.add("drain of an empty queue", () => engine.native.drain(), measured),
  benny.add("a put proposed by TypeScript, to its answer", () => replica.proposeOp(put, request, null), measured),
  benny.add(
    "100 puts proposed at once, to the last answer",
    () => Promise.all(Array.from({ length: 100 }, () => replica.proposeOp(put, request, null))),
    measured,
  ),
  benny.add("one batch through raft (one voter)", () => batchThroughRaft(raft), measured),
  benny.add("an append message encoded", () => encodeMessage(appendMessage), measured),
  benny.add("an append message decoded", () => decodeMessage(header, 1n, 2n, appendMetas, [9]), measured),
  benny.cycle(),
  benny.complete(),
);
replica.stop();
await engine.native.close(0);
rmSync(directory, { recursive: true });
