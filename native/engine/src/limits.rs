//! Every limit of the data plane, in one place. A queue, buffer or loop without an entry here is a mistake.

use std::time::Duration;

/// Txns that may nest in one another, whatever --max-txn-ops allows. Reading, checking, applying and dropping them takes
/// a stretch of the thread's stack each; etcd's default of 128 operations does not let them come near.
pub const TXN_DEPTH_MAX: usize = 512;
/// Messages that may nest in one another in a request: Go's protobuf follows them so far.
pub const MESSAGE_DEPTH_MAX: usize = 10_000;
/// Groups that may nest in one another in a field that is skipped, likewise.
pub const GROUP_DEPTH_MAX: usize = 10_001;
/// Bytes at which an open batch closes even while two batches are being synced.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches that may be between proposal and stable storage before the open batch waits.
pub const BATCHES_IN_FLIGHT_MAX: usize = 2;
/// Requests that may wait in the pipeline (batched, being synced or applied) before `too many requests`.
pub const REQUESTS_PENDING_MAX: usize = 100_000;
/// Bytes of requests that may wait in the pipeline before `too many requests`.
pub const REQUEST_BYTES_PENDING_MAX: usize = 256 << 20;
/// Entries that may be committed and not yet applied before `too many requests`, as etcd's.
pub const APPLY_GAP_ENTRIES_MAX: u64 = 5000;
/// Linearizable reads that may wait for a read index before `too many requests`.
pub const READS_PENDING_MAX: usize = 100_000;
/// Bytes of the newest log entries that stay in memory, for apply and for followers.
pub const LOG_CACHE_BYTES_MAX: usize = 16 << 20;
/// Bytes of entries that apply takes out of the log at once.
pub const APPLY_CHUNK_BYTES: usize = 4 << 20;
/// Milliseconds between two tries to write a log that found its disk full.
pub const WAL_NO_SPACE_RETRY_MS: u64 = 100;
/// Bytes that the buffer of an open batch has at the beginning, at least.
pub const BATCH_BUFFER_BYTES_MIN: usize = 512;
/// Bytes of one WAL segment, preallocated.
pub const WAL_SEGMENT_BYTES: u64 = 64 << 20;
/// Segments of the WAL whose files stay open, the newest ones; an older one is opened when it is read.
pub const WAL_SEGMENTS_OPEN_MAX: usize = if cfg!(test) { 2 } else { 16 };
/// Bytes of the payload of one WAL record; a segment always has room for one.
pub const WAL_PAYLOAD_BYTES_MAX: usize = 32 << 20;
/// Bytes of encoding buffer that the WAL keeps between two appends.
pub const WAL_BUFFER_BYTES_KEPT: usize = 4 << 20;
/// Bytes that a WAL reader takes from the disk in one read of neighbouring entries (one larger entry is read whole).
pub const WAL_READ_BYTES: usize = 1 << 20;
/// Bytes of zeroes written between two syncs while a segment is prepared, so that an append's sync waits for few.
pub const WAL_PREPARE_BYTES: usize = 1 << 20;
/// Bytes of applied revisions that may wait for the revision tree before apply waits.
pub const TAIL_BYTES_MAX: usize = 64 << 20;
/// Bytes of the tail that make the flusher commit before its timer, whatever `--backend-batch-limit` says.
pub const TAIL_FLUSH_BYTES: usize = 8 << 20;
/// Free bytes of the file system below which a write of LMDB that failed is taken for a full disk and tried again.
pub const DISK_EXHAUSTED_BYTES: u64 = 16 << 20;
/// A range answer above this many bytes is streamed in chunks and not encoded at once.
pub const RANGE_WHOLE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one chunk of a streamed range answer.
pub const RANGE_CHUNK_BYTES: usize = 256 << 10;
/// Keys in one leaf of the tree index. Nodes are tiny in the engine's own tests, so that few keys make deep trees.
pub const INDEX_LEAF_KEYS_MAX: usize = if cfg!(test) { 6 } else { 64 };
/// Children of one inner node of the tree index.
pub const INDEX_INNER_CHILDREN_MAX: usize = if cfg!(test) { 6 } else { 128 };
/// Bytes of keys at which a node of the tree index is split although it has few of them.
pub const INDEX_NODE_BYTES_MAX: usize = if cfg!(test) { 48 } else { 16 << 10 };
/// Revisions that a thread which builds the index sorts at once; what is more comes in further rounds.
pub const INDEX_RUN_MAX: usize = if cfg!(test) { 60 } else { 1 << 20 };
/// Bytes of their keys at which a thread stops collecting before that.
pub const INDEX_RUN_BYTES_MAX: usize = 256 << 20;
/// Items that each of several threads that pack the index must have, at least.
pub const INDEX_BUILD_PART_MIN: usize = if cfg!(test) { 2 } else { 4096 };
/// Times that a part of a run is sorted by the next eight bytes of its keys, before whole keys are compared.
pub const INDEX_SORT_DEPTH_MAX: usize = if cfg!(test) { 2 } else { 64 };
/// Threads that read the revision tree at start.
pub const RECOVER_THREADS_MAX: usize = 8;
/// Main revisions that a reader of the revision tree claims at once, and a quarter of what is worth taking over.
pub const RECOVER_CLAIM_REVISIONS: i64 = if cfg!(test) { 2 } else { 32 };
/// Virtual bytes that the revision tree is mapped into: the largest database file.
pub const TREE_MAP_BYTES: usize = 1 << 40;
/// Read transactions that may be open in the revision tree at once.
pub const TREE_READERS_MAX: u32 = 4096;
/// Read transactions of the newest commit that are kept for the next reader.
pub const TREE_SNAPSHOTS_IDLE_MAX: usize = 16;
/// Keys that a read takes from the index under one lock.
pub const RANGE_PAGE_KEYS: usize = 1_000;
/// Times that a read looks again when a revision it found was compacted away meanwhile.
pub const READ_RETRIES_MAX: usize = 16;
/// Milliseconds for which a compaction waits for reads below its revision; then they end with the compacted error.
pub const COMPACTION_PIN_WAIT_MS: u64 = 10_000;
/// For so long a compaction waits for older reads without a commit in between: nearly all end within it.
pub const COMPACTION_PIN_BRIEF: Duration = Duration::from_millis(5);
/// Milliseconds after which it looks again, once it has waited longer: reads do not tell when they end.
pub const COMPACTION_PIN_POLL_MS: u64 = 100;
/// Revisions that a compaction sums between two commits of the flusher.
pub const COMPACTION_HASH_STEP: usize = 200_000;
/// Sums of compactions that are kept for HashKV, as etcd's.
pub const COMPACTION_HASHES_MAX: usize = 10;
/// Keys and revisions of the index that a compaction goes through under one lock.
pub const COMPACTION_INDEX_STEP: usize = 500;
/// Such steps between two commits of the flusher.
pub const COMPACTION_INDEX_STEPS: usize = 200;
/// Revisions that a compaction sums or removes before it looks whether it is time for a pause.
pub const COMPACTION_TREE_STEP: usize = 500;
/// Rows that stay which a compaction passes on its way to the next one that goes, before it looks for that.
pub const COMPACTION_KEPT_ROWS_MAX: usize = 4;
/// How long a compaction computes before it pauses.
pub const COMPACTION_COMPUTE: Duration = Duration::from_micros(250);
/// A pause, at least: who waits for a core gets one, and what it does with it is the rest of the pause.
pub const COMPACTION_PAUSE: Duration = Duration::from_micros(50);
/// Revisions that a compaction takes out of the index before it removes them from the tree.
pub const COMPACTION_ROUND_REVISIONS: usize = 2_000_000;
/// Revisions that one slice of a compaction removes, unless `--compaction-batch-limit` says how many.
pub const COMPACTION_SLICE_REVISIONS: usize = if cfg!(test) { 16 } else { 16_000 };
/// Times that such a slice goes down the tree for them: where what goes lies scattered, every revision changes a page,
/// and the log's sync waits for that of all pages.
pub const COMPACTION_SLICE_DESCENTS: usize = if cfg!(test) { 1 } else { 1_000 };
/// Bytes of a snapshot that are read at once.
pub const SNAPSHOT_READ_BYTES: usize = 1 << 20;
/// Milliseconds until a write that failed because the disk is full is tried again.
pub const FLUSH_RETRY_MS: u64 = 500;
/// Bytes of events that one watcher may have queued; past it the watcher reads from the store. Small in the engine's own
/// tests, so that watchers fall behind.
pub const WATCH_QUEUE_BYTES_MAX: usize = if cfg!(test) { 2 << 10 } else { 1 << 20 };
/// Bytes of events, each counted once, that all watchers together may have queued before laggards lose their queues.
pub const WATCH_RETAINED_BYTES_MAX: usize = if cfg!(test) { 16 << 10 } else { 256 << 20 };
/// Bytes of key-values that the catch-up thread reads at once.
pub const WATCH_CHUNK_BYTES: usize = if cfg!(test) { 512 } else { 128 << 10 };
/// Rests of the catch-up thread while there are writes, each as long as the walk before.
pub const WATCH_RESTS: u32 = 3;
/// Longest rest of the catch-up thread at once.
pub const WATCH_REST_MAX: Duration = Duration::from_millis(20);
/// Time without a write after which the catch-up thread no longer rests.
pub const WATCH_WRITES_QUIET: Duration = Duration::from_millis(50);
/// Niceness of threads whose work can wait.
pub const BACKGROUND_NICE: i32 = 15;
/// Lagging watchers that share a walk through the history.
pub const WATCH_GROUP_MAX: usize = 512;
/// Revisions that watchers may be apart and still share a walk.
pub const WATCH_GROUP_SPAN: i64 = if cfg!(test) { 10 } else { 1_000 };
/// Revisions behind the present from which on the apply thread puts events aside for a lagging watcher.
pub const WATCH_JOIN_SPAN: i64 = if cfg!(test) { 5 } else { 1_000 };
/// Bytes of events after which a response takes no further revision.
pub const WATCH_RESPONSE_BYTES: usize = if cfg!(test) { 256 } else { 64 << 10 };
/// Bytes of key-values that a watcher's walk takes from the tail under one lock.
pub const TAIL_LOOK_BYTES: usize = 64 << 10;
/// Answers to requests of one watch stream that may wait before no further request is read.
pub const WATCH_REPLIES_MAX: usize = 1024;
/// Events that an empty queue may keep room for.
pub const WATCH_SPARE_EVENTS_MAX: usize = 16;

const _: () = assert!(WATCH_CHUNK_BYTES <= WATCH_QUEUE_BYTES_MAX);
const _: () = assert!(WATCH_QUEUE_BYTES_MAX < WATCH_RETAINED_BYTES_MAX);
/// Milliseconds without a word from the control plane after which a leader does not renew leases on its own.
pub const LEASE_LEADER_SILENCE_MS_MAX: u64 = 1_500;
/// The longest TTL that is granted, in seconds, as in etcd.
pub const LEASE_TTL_SECONDS_MAX: i64 = 9_000_000_000;
/// Keys of a lease from which on it knows between which keys they lie: not each of them is looked at then to see that
/// somebody may change them all.
pub const LEASE_KEYS_MANY: usize = 16;
/// Leases that a new leader lets expire in one second: three quarters of what is revoked in one, as etcd.
pub const LEASE_EXPIRIES_PER_SECOND: usize = 750;
/// Tokens that a member knows at once: all logins within their time.
pub const TOKENS_MAX: usize = if cfg!(test) { 64 } else { 1 << 18 };
/// Tokens that make room at once when there are so many: those whose time ends next.
pub const TOKENS_EVICTED: usize = TOKENS_MAX / 8;

const _: () = assert!(TAIL_FLUSH_BYTES < TAIL_BYTES_MAX);
const _: () = assert!(2 * WAL_PAYLOAD_BYTES_MAX as u64 <= WAL_SEGMENT_BYTES);
const _: () = assert!(BATCH_BYTES_MAX < WAL_PAYLOAD_BYTES_MAX);
const _: () = assert!(BATCH_BUFFER_BYTES_MIN < BATCH_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < REQUEST_BYTES_PENDING_MAX);
const _: () = assert!(RANGE_CHUNK_BYTES <= RANGE_WHOLE_BYTES_MAX);
const _: () = assert!(INDEX_LEAF_KEYS_MAX >= 4 && INDEX_INNER_CHILDREN_MAX >= 4);
