// Every limit of the control plane's queues, in one place.

export const limits = {
  /** Bytes of --max-request-bytes beyond which a start warns: large requests are slow for everyone. */
  recommendedRequestBytesMax: 10 * 1024 * 1024,
  /** Control proposals and conf changes that wait for a leader or for their turn. */
  waitingProposalsMax: 1_000,
  /** Proposals, operations and reads of TypeScript services that wait for an answer. */
  pendingRequestsMax: 10_000,
  /** Payload bytes in one append message between members. */
  raftMessageBytesMax: 1024 * 1024,
  /** Append messages on their way to one follower. */
  raftInflightMessagesMax: 256,
  /** Payload bytes on their way to one follower. */
  raftInflightBytesMax: 32 * 1024 * 1024,
  /** Payload bytes of the leader that are not committed; above it proposals are refused. */
  raftUncommittedBytesMax: 128 * 1024 * 1024,
  /** Bytes of handed-over requests of one message that are not answered yet; more are refused. */
  heldRequestBytesMax: 64 * 1024 * 1024,
  /** Messages of one client-streaming call that wait for their handler; more end the call. */
  callMessagesMax: 1_000,
  /** Responses of one watch stream of TypeScript that wait to be iterated; more end the stream. */
  watchResponsesMax: 10_000,
  /** Leases that are revoked in one second because they have expired, as etcd's. */
  leaseRevokesPerSecond: 1_000,
  /** Leases in one checkpoint entry, as etcd's. */
  leaseCheckpointsMax: 1_000,
  /** Renewals of leases that wait: for a leader, its answer or a revocation. */
  pendingRenewalsMax: 100_000,
  /** Lock, Campaign and Observe calls that are open at once. */
  openRecipesMax: 10_000,
  /** Descriptors that no client gets, as the data plane shares them out (native/front/src/limits.rs): a process that may
   * have no more does not start. */
  ownDescriptors: 150,
  /** How often aliases of a config file may repeat what one anchor stands for; etcd refuses somewhat above this too. */
  configAliasesMax: 5_000,
  /** Bytes of a file of the write-ahead log, as the data plane makes them (native/engine/src/limits.rs). */
  walSegmentBytes: 64 * 1024 * 1024,
  /** Bytes of a lease call of another member. */
  leaseCallBytesMax: 64 * 1024,
  /** Members that the log does not name yet and that are linked because they called; one more takes the oldest's place. */
  strangersMax: 16,
  /** Bytes of an HTTP answer of another member. */
  peerAnswerBytesMax: 4 * 1024 * 1024,
  /** Milliseconds after which a thread that hashes passwords, and has none, ends. */
  idleHashingThreadMs: 60_000,
  /** Milliseconds that a stop waits for threads in the middle of a password: at bcrypt's highest cost that is a day. */
  hashingStopMs: 500,
  /** Passwords of one address that wait to be compared; more are refused. */
  laneJobsMax: 256,
  /** Passwords of all addresses that wait to be compared; more are refused. */
  waitingJobsMax: 4_096,
  /** Pairs of a user and his password that are known to be right. */
  verifiedPasswordsMax: 10_000,
  /** Users, and addresses, whose failed logins are remembered. */
  failedLoginsMax: 10_000,
  /** Milliseconds that a login waits at most because of failed ones before it; one that would wait longer is refused. */
  loginDelayMsMax: 10_000,
  /** Logins that wait because of failed ones; more are refused. */
  waitingLoginsMax: 10_000,
  /** How often a login is tried anew because users were changed while its password was compared. */
  loginTriesMax: 100,
  /** Bytes of the name of a user or a role: with two more it is a key of the store, which has 511 at most. */
  authNameBytesMax: 509,
  /** Election timeouts that a token waits for the index that it names. */
  tokenWaitElections: 3,
  /** Tokens that wait for the index that they name; of more it is said at once that they are not known. */
  waitingTokensMax: 1_000,
  /** Questions of the data plane about tokens that wait for their turn; more are refused. */
  tokenQuestionsMax: 10_000,
  /** Questions of the data plane about tokens that are answered in one turn of the event loop. */
  tokensATurnMax: 64,
  /** How often TLS files are looked at, for file systems that say nothing of changes. */
  tlsLookIntervalMs: 10_000,
  /** How often a member looks whether a certificate of its own is to be made anew. */
  tlsRenewalIntervalMs: 3_600_000,
  /** Milliseconds without a change after which changed TLS files are looked at. */
  tlsSettleMs: 100,
  /** Milliseconds after which TLS files that cannot be used are looked at again before it is said. */
  tlsDoubtMs: 1_000,
} as const;
