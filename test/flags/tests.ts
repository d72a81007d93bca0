// The test of every flag: one that changes it and sees the difference. A flag of a feature that netcd does not have is
// refused by name, one that has nothing to change in netcd says so in the log; the table of flags tells which (`missing`,
// `idle`), and src/config/refused.test.ts tries them all.

/** File, and the name of a test in it. */
export type TestOf = readonly [file: string, test: string];

const EFFECTS = "test/flags/effects.test.ts";
const MEMBER = "src/member/member.test.ts";
const CONFIG = "src/config/config.test.ts";
const PROCESS = "src/process/process.test.ts";
const PACING = "native/engine/src/mvcc/tests/pacing.rs";
const LINKS = "native/front/src/peer/tests/mod.rs";
const AUDIT = "native/front/src/audit/file_test.rs";
const CONNECTIONS = "native/front/tests/connections.rs";
const TLS = "src/member/tls.test.ts";
const TLS_FILES = "src/tls/material.test.ts";
const PEER_CLIENT = "src/cluster/peerclient.test.ts";
const served = [TLS, "serves http and https on one port, says so, and counts the ends of its certificates"] as const;
/** Who gets in, beside etcd: its sets of flags name each of these. */
const matrix = ["test/compat/tls_matrix_test.go", "TestTLSMatrix"] as const;
const told = [EFFECTS, "--name, --initial-cluster-token and the URLs that are told"] as const;

export const TESTS: Readonly<Record<string, TestOf>> = {
  name: told,
  "data-dir": [EFFECTS, "--data-dir and --wal-dir"],
  "wal-dir": [EFFECTS, "--data-dir and --wal-dir"],
  "snapshot-count": ["src/replica/compaction.test.ts", "is due at snapshotCount entries and not before"],
  "snapshot-catchup-entries": ["test/cluster/snapshot_test.go", "TestSnapshotToMemberThatWasAway"],
  "heartbeat-interval": [EFFECTS, "--heartbeat-interval is how often members hear of the leader"],
  "election-timeout": [EFFECTS, "--election-timeout is a lease's least time to live, one and a half of them"],
  "initial-election-tick-advance": [EFFECTS, "--initial-election-tick-advance"],
  "listen-peer-urls": [MEMBER, "answers HTTP on the client, peer and metrics URLs"],
  "listen-client-urls": [MEMBER, "answers HTTP on the client, peer and metrics URLs"],
  "listen-client-http-urls": [EFFECTS, "--listen-client-http-urls takes HTTP away from the client URLs"],
  "max-wals": ["test/cluster/log_bound_test.go", "TestLogIsBoundedByBytes"],
  "quota-backend-bytes": [
    MEMBER,
    "raises NOSPACE when the quota refuses a write, and serves again once it has room and is disarmed",
  ],
  "backend-batch-interval": [PACING, "a_single_change_is_committed_after_the_interval"],
  "backend-batch-limit": [PACING, "changes_wait_for_the_interval_or_for_the_limit_of_changes"],
  "max-txn-ops": [EFFECTS, "--max-txn-ops and --max-request-bytes"],
  "max-request-bytes": [EFFECTS, "--max-txn-ops and --max-request-bytes"],
  "max-concurrent-streams": ["test/compat/frames_end_test.go", "TestStreamLimit"],
  "grpc-keepalive-min-time": [CONNECTIONS, "too_many_pings_end_the_connection"],
  "grpc-keepalive-interval": [CONNECTIONS, "a_client_that_answers_no_ping_is_dropped"],
  "grpc-keepalive-timeout": [CONNECTIONS, "a_client_that_answers_no_ping_is_dropped"],
  "raft-read-timeout": [LINKS, "a_link_that_falls_silent_is_closed_after_the_read_timeout"],
  "raft-write-timeout": [LINKS, "a_peer_that_takes_nothing_is_left_after_the_write_timeout"],
  "feature-gates": ["test/client/lease_checkpoint_test.go", "TestLeaseCheckpoint"],
  version: [CONFIG, "prints help and version with code 0"],
  "config-file": [CONFIG, "replaces flags and environment"],
  "initial-advertise-peer-urls": told,
  "initial-cluster": [MEMBER, "serves nobody as long as there is no quorum"],
  "initial-cluster-state": ["test/cluster/returning_test.go", "TestFollowerThatLostItsDataSaysSo"],
  "initial-cluster-token": told,
  "advertise-client-urls": told,
  "discovery-fallback": ["test/compat/flags_test.go", "TestRefusedStarts"],
  "strict-reconfig-check": ["src/cluster/changes.test.ts", "is not checked without --strict-reconfig-check"],
  "pre-vote": [EFFECTS, "--pre-vote keeps the term of who cannot win, --force-new-cluster makes it lead"],
  "auto-compaction-mode": ["src/member/startlog.test.ts", "a start says which mode automatic compaction would have"],
  "audit-log-path": [EFFECTS, "--audit-log-path and --audit-policy-file"],
  "audit-policy-file": [EFFECTS, "--audit-log-path and --audit-policy-file"],
  "audit-log-maxsize": [AUDIT, "is_rotated_when_it_is_large"],
  "audit-log-maxage": [AUDIT, "is_rotated_daily_where_old_files_are_removed_by_age"],
  "audit-log-maxbackup": [AUDIT, "is_rotated_when_it_is_large"],
  "auth-token": ["test/auth.test.ts", "a member that can sign no token is healthy, and its leases end"],
  "bcrypt-cost": [EFFECTS, "--bcrypt-cost and --auth-token-ttl"],
  "auth-token-ttl": [EFFECTS, "--bcrypt-cost and --auth-token-ttl"],
  "cert-file": served,
  "key-file": served,
  "client-cert-auth": [
    TLS_FILES,
    "makes users of clients' common names with --client-cert-auth, and never of members'",
  ],
  "client-cert-file": [TLS, "says what is wrong with files, for clients only where they are used"],
  "client-key-file": [TLS, "says what is wrong with files, for clients only where they are used"],
  "client-crl-file": matrix,
  "client-cert-allowed-hostname": matrix,
  "trusted-ca-file": [TLS_FILES, "is read together with the rules"],
  "auto-tls": [TLS, "makes certificates of its own, by which members believe each other"],
  "peer-cert-file": served,
  "peer-key-file": served,
  "peer-client-cert-auth": matrix,
  "peer-client-cert-file": [PEER_CLIENT, "shows the pair for calls where there is one"],
  "peer-client-key-file": [PEER_CLIENT, "shows the pair for calls where there is one"],
  "peer-trusted-ca-file": served,
  "peer-cert-allowed-cn": [PEER_CLIENT, "applies the allowed names to who answers, too"],
  "peer-cert-allowed-hostname": [PEER_CLIENT, "applies the allowed names to who answers, too"],
  "peer-auto-tls": [TLS, "makes certificates of its own, by which members believe each other"],
  "peer-crl-file": matrix,
  "peer-skip-client-san-verification": matrix,
  "self-signed-cert-validity": [
    "src/tls/selfsigned.test.ts",
    "is made where etcd makes it, for the hosts of the URLs, and kept",
  ],
  "cipher-suites": ["native/front/tests/tls.rs", "versions_and_suites_are_those_that_are_asked_for"],
  "tls-min-version": matrix,
  "tls-max-version": matrix,
  cors: [EFFECTS, "--cors"],
  "host-whitelist": [EFFECTS, "--host-whitelist"],
  metrics: [EFFECTS, "--metrics=extensive"],
  "listen-metrics-urls": [MEMBER, "answers HTTP on the client, peer and metrics URLs"],
  logger: ["test/compat/flags_test.go", "TestRefusedStarts"],
  "log-outputs": [PROCESS, "goes where --log-outputs says, as --log-format and --log-level say"],
  "log-level": [PROCESS, "goes where --log-outputs says, as --log-format and --log-level say"],
  "log-format": [PROCESS, "goes where --log-outputs says, as --log-format and --log-level say"],
  "warning-apply-duration": ["test/compat/slowlog_test.go", "TestSlowRequestsAreLogged"],
  "warning-unary-request-duration": ["test/compat/slowlog_test.go", "TestSlowRequestsAreLogged"],
  "compaction-batch-limit": [PACING, "a_slice_of_a_compaction_has_as_many_revisions_as_the_operator_says"],
  "compaction-sleep-interval": [PACING, "a_compaction_rests_between_slices_and_what_is_put_meanwhile_is_committed"],
  "watch-progress-notify-interval": ["native/front/tests/watch.rs", "progress_is_told_in_the_interval"],
  "max-learners": [EFFECTS, "--max-learners, also at a restart"],
  "experimental-auto-promote": ["test/cluster/autopromote_test.go", "TestLearnerIsPromotedByItself"],
  "force-new-cluster": [EFFECTS, "--pre-vote keeps the term of who cannot win, --force-new-cluster makes it lead"],
  "unsafe-no-fsync": ["native/engine/src/disk/real.rs", "without_fsync_nothing_is_asked_of_the_disk"],
};
