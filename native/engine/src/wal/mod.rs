//! The write-ahead log: raft's entries and hard state in preallocated segments of checksummed, chained records.
//! docs/storage.md draws the format and states the rule by which a start tells a torn tail from damage.
//!
//! One thread owns the `Wal` and appends and syncs; any thread reads entries back through a `WalReader`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

mod batch;
mod error;
mod format;
#[cfg(test)]
mod fuzz_test;
mod header;
mod map;
mod metrics;
mod open;
mod options;
mod reader;
mod replay;
mod segment;
mod writer;

pub use error::WalError;
pub use format::{HardState, Record};
pub use map::EntryMeta;
pub use metrics::WalMetrics;
pub use open::Replay;
pub use options::WalOptions;
pub use reader::{LogEntry, WalReader};
pub use writer::Wal;

use map::LogMap;
use segment::Segment;

/// What the writer and the readers share.
struct Shared {
    log: RwLock<Log>,
}

struct Log {
    map: LogMap,
    segments: BTreeMap<u64, Arc<Segment>>,
}
