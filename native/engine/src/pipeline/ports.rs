//! What the pipeline needs of its neighbours: the log it writes (`Log`, `LogRead`), the state machine it applies to
//! (`Apply`) and the control plane it tells (`PipelineEvents`). Tests put fakes here.

use bytes::Bytes;

use super::message::PeerMessage;
use crate::auth::Caller;
use crate::mvcc::Store;
pub use crate::mvcc::{Applied, ApplyContext, MetaTable, MetaWrite};
use crate::types::{EntryKind, LogMark, OpKind};
pub use crate::wal::HardState;

/// One raft log entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Position in the log.
    pub mark: LogMark,
    /// What the payload is.
    pub kind: EntryKind,
    /// The payload.
    pub payload: Bytes,
}

impl LogEntry {
    /// The entry without its payload.
    pub fn meta(&self) -> EntryMeta {
        EntryMeta {
            mark: self.mark,
            kind: self.kind,
            bytes: self.payload.len(),
        }
    }
}

/// A log entry as the control plane sees it: its payload stays here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryMeta {
    /// Position in the log.
    pub mark: LogMark,
    /// What the payload is.
    pub kind: EntryKind,
    /// Size of the payload in bytes.
    pub bytes: usize,
}

/// Why the log was not written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full, or the system is out of something else (said in words) that the next file of the log needs.
    /// Nothing of this append is in the log, and a later one may succeed.
    #[error("{0}")]
    NoSegment(String),
    /// A write or sync failed, or a file is damaged: the process must end. Names file and offset.
    #[error("{0}")]
    Fatal(String),
}

/// The write side of the log; owned by the WAL thread.
pub trait Log: Send {
    /// Appends entries (contiguous; they replace any of the same or a higher index), then the hard state. On
    /// `NoSegment` the log is as it was before the call.
    fn append(
        &mut self,
        entries: &[LogEntry],
        hard_state: Option<&HardState>,
    ) -> Result<(), LogError>;
    /// Returns when everything appended is on stable storage.
    fn sync(&mut self) -> Result<(), LogError>;
    /// Forgets the entries up to `mark`; segments before it are purged.
    fn compact(&mut self, mark: LogMark) -> Result<(), LogError>;
}

/// The read side of the log, for entries that memory no longer holds. Used by any thread.
pub trait LogRead: Send + Sync {
    /// Entries from `first` to `last` (both included, written before), as many as `max_bytes` holds, at least one.
    fn read(&self, first: u64, last: u64, max_bytes: usize) -> Result<Vec<LogEntry>, LogError>;
}

/// The state machine; called by the apply thread only, in log order.
pub trait Apply: Send + Sync + 'static {
    /// Applies one operation of this caller.
    fn apply_op(
        &self,
        kind: OpKind,
        request: Bytes,
        caller: &Caller,
        context: &ApplyContext,
    ) -> Applied;
    /// Applies the writes of a control entry.
    fn apply_meta(&self, mark: LogMark, writes: Vec<MetaWrite>);
    /// The whole entry is applied. Blocks while the tail is full.
    fn entry_applied(&self, mark: LogMark);
    /// Calls `done` when everything up to `revision` is physically compacted.
    fn on_compacted(&self, revision: i64, done: Box<dyn FnOnce() + Send>);
    /// The pipeline ends: `entry_applied` blocks no more.
    fn end_waits(&self) {}
}

impl Apply for Store {
    fn apply_op(
        &self,
        kind: OpKind,
        request: Bytes,
        caller: &Caller,
        context: &ApplyContext,
    ) -> Applied {
        Store::apply_op(self, kind, request, caller, context)
    }

    fn apply_meta(&self, mark: LogMark, writes: Vec<MetaWrite>) {
        Store::apply_meta(self, mark, writes);
    }

    fn entry_applied(&self, mark: LogMark) {
        Store::entry_applied(self, mark);
    }

    fn on_compacted(&self, revision: i64, done: Box<dyn FnOnce() + Send>) {
        Store::on_compacted(self, revision, done);
    }

    fn end_waits(&self) {
        Store::end_waits(self);
    }
}

/// How loud a log line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Off by default.
    Debug,
    /// Normal operation.
    Info,
    /// Something an operator may have to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// The links to other members, as far as the data plane uses them by itself. Called under the pipeline's lock: must only
/// enqueue. A message may get lost; raft is told by the links, and sends again what matters.
pub trait PeerLinks: Send + Sync {
    /// Sends a message with the entries that it carries.
    fn send(&self, to: u64, message: PeerMessage, entries: Vec<LogEntry>);
}

/// What the control plane is told; the same names as in src/native/binding.ts. Called from any of the pipeline's
/// threads, partly under its lock: must only enqueue.
pub trait PipelineEvents: Send + Sync {
    /// A closed batch waits for a proposal (no grant is held).
    fn batch(&self, payload: u64, bytes: usize, requests: u32);
    /// Under a grant: these entries were stamped, or taken from the leader, and given to the WAL.
    fn appended(&self, entries: &[EntryMeta]);
    /// Under the append grant: this member has the log up to `mark.index`, which it said in the term `mark.term`.
    fn acknowledged(&self, from: u64, mark: LogMark);
    /// Under a grant: entries up to index are committed. Told before any of them is applied.
    fn committed(&self, index: u64);
    /// The grant's entries up to this index are on stable storage; the term is the grant's.
    fn stable(&self, mark: LogMark);
    /// `persist(seq)` and all before it are on stable storage.
    fn persisted(&self, seq: u64);
    /// Entries up to index were applied.
    fn applied(&self, index: u64);
    /// Apply stands at this entry until `control_applied`.
    fn control(&self, mark: LogMark, kind: EntryKind, data: Bytes);
    /// A batch of linearizable reads waits for one read index.
    fn read_request(&self, ctx: u64);
    /// The process must end with this message.
    fn fatal(&self, message: String);
    /// A log line.
    fn log(&self, level: LogLevel, message: &str, fields: Vec<(String, String)>);
}

/// An API call that the state of the pipeline forbids: an error of the control plane's own program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PipelineError {
    /// Entries were persisted, or a grant given, while a grant says that the data plane gives entries their place.
    #[error("a grant is held: the data plane gives entries their place")]
    GrantHeld,
    /// The grant was switched off when the engine was opened.
    #[error("the append grant is switched off")]
    GrantForbidden,
    /// An entry was to be stamped, and no grant is held.
    #[error("no append grant is held")]
    NoGrant,
    /// A payload handle that is not (or no longer) known.
    #[error("payload {0} is not known")]
    UnknownPayload(u64),
    /// Entries that do not follow each other, or that would leave a hole in the log.
    #[error("entry {index} does not follow {last} in the log")]
    Hole {
        /// Index of the entry.
        index: u64,
        /// The entry before it.
        last: u64,
    },
    /// The pipeline is closed or failed.
    #[error("the engine is closed")]
    Closed,
}
