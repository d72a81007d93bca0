//! The words of the store's interface: configuration, what it answers, and whom it tells.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::EtcdError;
use crate::tree::TreeError;
use crate::types::{Identity, LogMark, OpResult, Revision};

use super::kv::KvView;

/// How a store is opened.
pub struct StoreConfig {
    /// The member directory; the store is the file `store.mdb` in it.
    pub dir: PathBuf,
    /// Constant part of every response header.
    pub identity: Identity,
    /// Bytes of the database at which writes that cost something are refused; None = no limit.
    pub quota_bytes: Option<u64>,
    /// `--max-request-bytes`: the measure by which RangeStream sizes its messages.
    pub max_request_bytes: usize,
    /// `--backend-batch-interval`: longest time from a change to its commit.
    pub batch_interval: Duration,
    /// `--backend-batch-limit`: changes that are committed before that; None = only their bytes count.
    pub batch_limit: Option<usize>,
    /// `--compaction-batch-limit`: revisions that one commit removes; None = as many as leave room for others.
    pub compaction_batch_limit: Option<usize>,
    /// `--compaction-sleep-interval`, between two commits of a compaction; the store's other commits go on meanwhile.
    pub compaction_sleep: Duration,
    /// `--unsafe-no-fsync`.
    pub no_fsync: bool,
    /// Whom the store tells.
    pub events: Arc<dyn StoreEvents>,
}

/// What the store found when it was opened.
#[derive(Debug)]
pub struct StoreRecovered {
    /// The last entry that is wholly in the store; the log is applied again from the next one.
    pub applied: LogMark,
    /// The entry at which the store was received from another member; the default if it never was.
    pub installed: LogMark,
    /// Store revision after that entry.
    pub revision: i64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: i64,
    /// The control plane's rows.
    pub meta: Vec<MetaRow>,
    /// Leases with their times in seconds.
    pub leases: Vec<RecoveredLease>,
}

/// A lease as it is on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecoveredLease {
    /// Lease id.
    pub id: i64,
    /// Granted time in seconds.
    pub ttl_seconds: i64,
    /// Remaining seconds at the last checkpoint, 0 = none.
    pub remaining_ttl_seconds: i64,
}

/// A table of control-plane state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaTable {
    /// Cluster version and other single facts.
    Meta,
    /// Membership.
    Members,
    /// Users and roles.
    Auth,
    /// Alarms.
    Alarms,
}

/// A row of control-plane state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaRow {
    /// Where.
    pub table: MetaTable,
    /// Row key.
    pub key: Bytes,
    /// Row value.
    pub value: Bytes,
}

/// A write of control-plane state, stored in the same transaction as the consistent index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaWrite {
    /// Where.
    pub table: MetaTable,
    /// Row key.
    pub key: Bytes,
    /// Row value, None deletes.
    pub value: Option<Bytes>,
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The revision tree could not be opened or read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The member directory could not be read.
    #[error("{path}: {source}", path = path.display())]
    Directory {
        /// The member directory.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread of the store: {0}")]
    Thread(std::io::Error),
}

/// Where an operation is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApplyContext {
    /// The entry that holds the operation.
    pub mark: LogMark,
    /// Term for the response header.
    pub raft_term: u64,
}

/// What applying an operation gave.
#[derive(Debug)]
pub enum Applied {
    /// The answer.
    Done(OpResult),
    /// The answer holds once the compaction at `revision` is physically done (`Store::on_compacted`).
    AfterCompaction {
        /// Revision of the compaction.
        revision: i64,
        /// The encoded response.
        answer: Bytes,
    },
}

/// The encoded chunks of a large answer; memory holds about one of them.
pub type Chunks = Box<dyn Iterator<Item = Result<Bytes, EtcdError>> + Send>;

/// The answer to a range.
pub enum RangeAnswer {
    /// An encoded RangeResponse.
    Whole(Bytes),
    /// An encoded RangeResponse in pieces.
    Chunked {
        /// Bytes of all pieces together.
        bytes: u64,
        /// Key-values in them.
        kvs: u64,
        /// Keys of the range, those included that the limit leaves out.
        count: u64,
        /// The pieces in order. An error ends them early: what was sent is then not a whole response.
        chunks: Chunks,
    },
}

/// How loud a log line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Normal operation.
    Info,
    /// Something an operator may have to look at.
    Warn,
}

/// Whom the store tells. Called from the apply thread and the flusher; must not block.
pub trait StoreEvents: Send + Sync {
    /// The store is durable up to this entry: the log before it may be compacted.
    fn flushed(&self, mark: LogMark);
    /// The process must end with this message.
    fn fatal(&self, message: String);
    /// A log line.
    fn log(&self, level: LogLevel, message: &str, fields: Vec<(String, String)>);
}

/// One change, as watchers see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Revision of the change.
    pub revision: Revision,
    /// Whether the change deleted the key.
    pub tombstone: bool,
    /// The key: a slice of `kv`.
    pub key: Bytes,
    /// Encoded mvccpb.KeyValue of a watch event (of a deletion: key and mod_revision only).
    pub kv: Bytes,
}

impl Event {
    /// Whether the change created the key (it then has no previous value).
    pub fn is_create(&self) -> bool {
        !self.tombstone && KvView::parse(&self.kv).is_some_and(|kv| kv.version == 1)
    }
}

/// Figures of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStatus {
    /// Current revision.
    pub revision: i64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: i64,
    /// Live keys.
    pub keys: u64,
    /// Bytes of the database file.
    pub db_bytes: u64,
    /// Bytes of it that hold data.
    pub db_used_bytes: u64,
    /// Bytes of applied changes that are not in the database yet.
    pub tail_bytes: u64,
    /// Last entry applied.
    pub applied: LogMark,
    /// Last entry that is durable in the database.
    pub flushed: LogMark,
    /// Leases.
    pub leases: u64,
}

/// The answer to HashKV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvHash {
    /// CRC-32C over the kept revisions.
    pub hash: u32,
    /// Revision that was hashed.
    pub hash_revision: i64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: i64,
    /// Current revision.
    pub revision: i64,
}
