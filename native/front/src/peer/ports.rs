//! What the peer links need of their neighbours: log entries to send, and someone to tell. Tests put fakes here.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::pipeline::LogEntry;
use netcd_engine::snapshot::{Outgoing, SnapshotInfo, SnapshotStart};

/// The member's log, from which messages take their entries.
pub trait PeerLog: Send + Sync + 'static {
    /// Entries `first..=last` if all are in memory.
    fn cached(&self, first: u64, last: u64) -> Option<Vec<LogEntry>>;
    /// Entries `first..=last`, from disk if need be; blocks. An error says why the message cannot be sent.
    fn read(&self, first: u64, last: u64) -> Result<Vec<LogEntry>, String>;
}

/// A copy of the store that is made while it is read.
pub trait StoreCopy: Send + 'static {
    /// What is known before the first byte.
    fn start(&self) -> SnapshotStart;
    /// Fills `buffer` as far as there are bytes; fewer are the end. Blocks.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String>;
    /// What it holds, once all of it was read.
    fn info(&self) -> SnapshotInfo;
}

impl StoreCopy for Outgoing {
    fn start(&self) -> SnapshotStart {
        self.start()
    }
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        self.read(buffer).map_err(|error| error.to_string())
    }
    fn info(&self) -> SnapshotInfo {
        self.info()
    }
}

/// The member's store, as far as copies of it go to peers and come from them.
pub trait PeerStore: Send + Sync + 'static {
    /// Where the files are that come in. What is left there at a start is removed.
    fn directory(&self) -> &Path;
    /// Begins a copy of the store for `to`; blocks. Dropped, it ends.
    fn copy(&self, to: u64) -> Result<Box<dyn StoreCopy>, String>;
    /// A peer's store came whole, its first byte at `started`, behind the message `header`. The file is the callee's from now on: it checks it, and
    /// an error goes back to the sender. Blocks.
    fn received(
        &self,
        from: u64,
        header: Bytes,
        path: PathBuf,
        info: SnapshotInfo,
        started: Instant,
    ) -> Result<(), String>;
}

/// What became of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// The peer accepted the stream; its server's version.
    Active {
        /// From the handshake.
        version: String,
    },
    /// The connection is gone or could not be made.
    Inactive {
        /// Why, for the log.
        reason: String,
    },
    /// Nobody listens at the peer's address, where it was: its process ended.
    Gone {
        /// Why, for the log.
        reason: String,
    },
    /// The peer refused: this member is removed, of another cluster, or too old.
    Refused {
        /// HTTP status.
        status: u16,
        /// The peer's words.
        text: String,
    },
}

/// Takes what comes from peers. Called on the transport's threads: it must only queue.
pub trait PeerEvents: Send + Sync + 'static {
    /// A raft message and the entries that it carries.
    fn message(&self, from: u64, header: Bytes, entries: Vec<LogEntry>);
    /// The state of the link to a peer changed.
    fn link(&self, peer: u64, state: LinkState);
    /// A member of the same cluster, by its own word, that is not known here was refused. It calls again.
    fn stranger(&self, id: u64, urls: Vec<String>);
    /// Messages to this peer were dropped: raft must not count on them.
    fn unreachable(&self, peer: u64);
    /// A copy of the store on its way to this peer is there, whole and checked, or it is lost.
    fn snapshot_sent(&self, peer: u64, outcome: Result<SnapshotInfo, String>);
}
