// The rows about TLS: both servers with the same certificates. Whoever does the work checks the server's; among three
// members everybody shows one of his own.
import { setTimeout as sleep } from "node:timers/promises";
import { Certificates } from "./certificates.mjs";
import { startThree } from "./cluster.mjs";
import { ranges, unaryPuts } from "./kv.mjs";
import { holding, load, serves } from "./load.mjs";
import { measured, percentile } from "./measure.mjs";
import { freePort, rssAnonBytes, Server } from "./server.mjs";

export const sizes = {
  small: { unary: 2000, handshakes: 40, keys: 3000, reads: 1, idle: 50, idleSeconds: 0.1, clusterPuts: 1000 },
  medium: { unary: 20_000, handshakes: 1000, keys: 200_000, reads: 3, idle: 2000, idleSeconds: 2, clusterPuts: 20_000 },
  full: {
    unary: 200_000,
    handshakes: 5000,
    keys: 1_000_000,
    reads: 3,
    idle: 5000,
    idleSeconds: 5,
    clusterPuts: 100_000,
  },
};

const many = { connections: 100, streams: 10 };
const valueBytes = 256;
const handshakeClients = 4;
const memorySamples = 5;
const memorySampleMs = 200;

/** One fresh member with TLS on its ports; clients need no certificate. */
export async function startWithTls(label, { cpus }) {
  const server = new Server(label, { cpus, certificates: new Certificates({ mutual: false }) });
  await server.choosePorts();
  server.launch();
  await serves(server);
  return server;
}

/** Rows run in order on one member; the last one has members of its own. */
export function tlsRows(size) {
  return [
    idleConnectionsRow(size),
    ...unaryRows(size, "one-port", "one port for gRPC and HTTP", "≥ ×12, CPU ≤ ×0.05", onePort),
    ...unaryRows(size, "own-port", "HTTP on a port of its own", "≥ ×5, CPU ≤ ×0.125", ownPort),
    handshakesRow(size, "full", {}),
    handshakesRow(size, "resumed", { resumed: true }),
    ...readAllRows(size),
    clusterRow(size),
  ];
}

/** First, while the server has no memory left over from other work. */
function idleConnectionsRow(size) {
  return {
    name: "idle-connections",
    title: `RssAnon that ${size.idle} idle TLS connections add, for each, ${size.idleSeconds} s after a range on each`,
    figure: "rssEach",
    target: "≤ ×0.5",
    perOperation: false,
    run: async (server) => {
      const before = await rssMedian(server);
      let during = 0;
      const result = await measured(server, () =>
        holding("idle", server, { connections: size.idle }, async () => {
          await sleep(size.idleSeconds * 1000);
          during = await rssMedian(server);
          return { operations: size.idle, seconds: 1 };
        }),
      );
      return { ...result, rssAnonBytes: during, rssEachBytes: (during - before) / size.idle };
    },
  };
}

async function rssMedian(server) {
  const samples = [];
  while (samples.length < memorySamples) {
    await sleep(memorySampleMs);
    samples.push(rssAnonBytes(server.pids()));
  }
  return percentile(samples, 0.5);
}

/** The member as it was started: etcd then serves gRPC by Go's HTTP server. */
async function onePort() {}

/** The member with HTTP elsewhere, started again if it was not so before: etcd then serves gRPC by gRPC's own. */
async function ownPort(server) {
  if (server.options.flags === undefined) {
    await server.relaunch([`--listen-client-http-urls=https://127.0.0.1:${await freePort()}`]);
    await serves(server);
  }
}

function unaryRows(size, name, called, target, prepare) {
  const row = (work, title, run) => ({
    name: `${work}-${name}`,
    title: `${title} over TLS 1.3, 100 connections × 10 streams (h2load), ${called}`,
    figure: "rate",
    target,
    prepare,
    run: (server) => run(server, size.unary, many),
  });
  return [
    row("puts", "puts", unaryPuts),
    { ...row("ranges", "linearizable ranges of one key", ranges), needs: `puts-${name}` },
  ];
}

function handshakesRow(size, name, options) {
  return {
    name: `handshakes-${name}`,
    title: `TLS 1.3 handshakes, ${name}, ECDSA P-256 and X25519, ${handshakeClients} clients, until HTTP/2 greets`,
    figure: "rate",
    target: "≥ ×1.5",
    run: (server) =>
      measured(server, () =>
        load("handshakes", server, { requests: size.handshakes, clients: handshakeClients, ...options }),
      ),
  };
}

function readAllRows({ keys, reads }) {
  return [
    {
      name: "fill",
      title: `fill ${keys} keys in txns of 100 puts over TLS`,
      figure: "rate",
      target: "–",
      run: (server) => measured(server, () => load("fill", server, { keys, clients: 32, connections: 8 })),
    },
    {
      name: "read-all",
      title: `one Range of all ${keys} keys over TLS, ${reads} times`,
      figure: "bandwidth",
      target: "≥ ×3",
      needs: "fill",
      run: (server) =>
        measured(server, () => load("read-all", server, { keys, "value-bytes": valueBytes, requests: reads })),
    },
  ];
}

/** h2load shows no certificate, so that the other load generator does this. */
function clusterRow(size) {
  const clients = many.connections * many.streams;
  return {
    name: "cluster-puts",
    title: "puts, three members, all with certificates (mTLS), 1,000 clients on 100 connections, leader",
    figure: "rate",
    target: "≥ ×8, CPU ≤ ×0.17",
    run: async ({ label, options: { cpus } }) => {
      const cluster = await startThree(label, { cpus, certificates: new Certificates({ mutual: true }) });
      try {
        return await measured(cluster, () =>
          load("put", cluster, { requests: size.clusterPuts, clients, connections: many.connections }),
        );
      } finally {
        await cluster.destroy();
      }
    },
  };
}
