// Flags of the member itself and of the cluster it belongs to.

import { rowsOf } from "./spec.js";

const member = rowsOf("Member");
const cluster = rowsOf("Clustering");

const CLUSTER_TOKEN = "discovery of the cluster by a discovery service";
const CLUSTER_SRV = "discovery of the cluster by DNS";

export const memberFlags = [
  member("name", "string", "default", "Name of this member."),
  member("data-dir", "string", "", "Data directory; empty = <name>.etcd."),
  member("wal-dir", "string", "", "Directory of the write-ahead log; empty = <data-dir>/member/wal."),
  member("snapshot-count", "uint", "10000", "Applied entries between snapshots of the raft log; 0 = default."),
  member("snapshot-catchup-entries", "uint", "5000", "Entries kept behind a snapshot for slow followers; 0 = default."),
  member("heartbeat-interval", "uint", "100", "Milliseconds between heartbeats of the leader."),
  member("election-timeout", "uint", "1000", "Milliseconds without a heartbeat before an election."),
  member("initial-election-tick-advance", "bool", "true", "Shorten the first election wait after a start."),
  member("listen-peer-urls", "urls", "http://localhost:2380", "URLs to listen on for peers.", { exception: "" }),
  member("listen-client-urls", "urls", "http://localhost:2379", "URLs to listen on for clients.", { exception: "" }),
  member("listen-client-http-urls", "urls", "", "URLs for HTTP only; listen-client-urls then serves gRPC only.", {
    exception: "",
  }),
  member("max-snapshots", "uint", "5", "Deprecated, without effect.", { idle: "the store itself is the snapshot" }),
  member(
    "max-wals",
    "uint",
    "5",
    "Write-ahead log files of 64 MiB that force a compaction of the log, 0 = any number.",
  ),
  member("quota-backend-bytes", "int", "0", "Size of the database that raises an alarm; 0 = 2 GiB, negative = none."),
  member("backend-bbolt-freelist-type", "string", "", "array or map, without effect.", {
    idle: "netcd's store has no such list",
  }),
  member("backend-batch-interval", "duration", "0s", "Longest time between commits of the store; 0 = 100ms."),
  member(
    "backend-batch-limit",
    "int",
    "0",
    "Most changes between commits of the store; 0 = as many as come in the interval, up to 8 MiB.",
  ),
  member("max-txn-ops", "uint", "128", "Most operations in one list of a transaction."),
  member("max-request-bytes", "uint", "1572864", "Largest request in bytes."),
  member("max-concurrent-streams", "uint32", "4294967295", "Most streams at a time on one client connection."),
  member("grpc-keepalive-min-time", "duration", "5s", "Shortest interval at which a client may ping."),
  member("grpc-keepalive-interval", "duration", "2h0m0s", "Interval of the server's pings, 0 = off."),
  member("grpc-keepalive-timeout", "duration", "20s", "Wait for the answer to a ping, 0 = off."),
  member("socket-reuse-port", "bool", "false", "Set SO_REUSEPORT on listeners.", {
    yaml: ["socket-options", "reuse-port"],
    missing: "SO_REUSEPORT on listeners",
  }),
  member("socket-reuse-address", "bool", "false", "Set SO_REUSEADDR on listeners.", {
    yaml: ["socket-options", "reuse-address"],
    missing: "SO_REUSEADDR on listeners",
  }),
  member(
    "raft-read-timeout",
    "duration",
    "5s",
    "A link from a peer that brings nothing for so long is closed; at least 5s.",
    { yaml: null },
  ),
  member(
    "raft-write-timeout",
    "duration",
    "5s",
    "A link on which a peer takes nothing for so long is closed; at least 5s, and 3s where the flag is not set.",
    { yaml: null },
  ),
  member("memory-mlock", "bool", "false", "Lock the store's pages in memory.", { missing: "locking memory" }),
  member("feature-gates", "gates", "", "Feature gates: Name=true,Other=false."),
  member("enable-grpc-gateway", "bool", "true", "Serve the JSON gateway below /v3/.", {
    missing: "the JSON gateway",
    asks: "default",
  }),
  member("version", "bool", "false", "Print the version and exit.", { yaml: null }),
  member("config-file", "string", "", "Config file; all other flags and variables are then ignored.", { yaml: null }),
] as const;

export const clusterFlags = [
  cluster("initial-advertise-peer-urls", "urls", "http://localhost:2380", "Peer URLs told to the cluster.", {
    exception: "",
  }),
  cluster("initial-cluster", "string", "default=http://localhost:2380", "First members: name=url,name=url."),
  cluster("initial-cluster-state", "choice", "new", "Whether the cluster is new or exists already.", {
    choices: ["new", "existing"],
  }),
  cluster("initial-cluster-token", "string", "etcd-cluster", "Goes into the ids of a new cluster and its members."),
  cluster("advertise-client-urls", "urls", "http://localhost:2379", "Client URLs told to the cluster.", {
    exception: "",
  }),
  cluster("discovery-token", "string", "", "Token of the discovery service.", {
    yaml: ["discovery-config", "token"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-endpoints", "set", "", "Servers of the discovery service.", {
    yaml: ["discovery-config", "client", "endpoints"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-dial-timeout", "duration", "2s", "Timeout of a connection to the discovery service.", {
    yaml: ["discovery-config", "client", "dial-timeout"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-request-timeout", "duration", "5s", "Timeout of a request to the discovery service.", {
    yaml: ["discovery-config", "client", "request-timeout"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-keepalive-time", "duration", "2s", "Interval of pings to the discovery service.", {
    yaml: ["discovery-config", "client", "keepalive-time"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-keepalive-timeout", "duration", "6s", "Wait for the discovery service's answer to a ping.", {
    yaml: ["discovery-config", "client", "keepalive-timeout"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-insecure-transport", "bool", "true", "Use the discovery service without TLS.", {
    yaml: ["discovery-config", "client", "secure", "insecure-transport"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-insecure-skip-tls-verify", "bool", "false", "Do not check the discovery service's certificate.", {
    yaml: ["discovery-config", "client", "secure", "insecure-skip-tls-verify"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-cert", "string", "", "Client certificate for the discovery service.", {
    yaml: ["discovery-config", "client", "secure", "cert"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-key", "string", "", "Key of that certificate.", {
    yaml: ["discovery-config", "client", "secure", "key"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-cacert", "string", "", "CA of the discovery service.", {
    yaml: ["discovery-config", "client", "secure", "cacert"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-user", "string", "", "User[:password] at the discovery service.", {
    yaml: ["discovery-config", "client", "auth", "username"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-password", "string", "", "Password at the discovery service.", {
    yaml: ["discovery-config", "client", "auth", "password"],
    missing: CLUSTER_TOKEN,
  }),
  cluster("discovery-fallback", "choice", "exit", "What to do when discovery fails.", {
    yaml: null,
    choices: ["exit", "proxy"],
  }),
  cluster("discovery-srv", "string", "", "DNS domain whose SRV records name the members.", { missing: CLUSTER_SRV }),
  cluster("discovery-srv-name", "string", "", "Suffix of the SRV service name.", { missing: CLUSTER_SRV }),
  cluster("strict-reconfig-check", "bool", "true", "Refuse member changes that put the quorum at risk."),
  cluster("pre-vote", "bool", "true", "Ask before an election whether it could be won."),
  cluster("auto-compaction-retention", "string", "0", "What automatic compaction keeps; 0 = off.", {
    missing: "automatic compaction",
  }),
  cluster("auto-compaction-mode", "string", "periodic", "Unit of the retention: periodic or revision."),
  cluster("v2-deprecation", "choice", "", "Deprecated, without effect.", {
    choices: ["write-only", "write-only-skip-check", "write-only-drop-data", "gone"],
    idle: "etcd ignores it too",
  }),
] as const;
