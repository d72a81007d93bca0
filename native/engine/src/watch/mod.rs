//! The watch hub: who is told of which change, in order, once, and without making anybody else wait.
//!
//! A watcher is synced when the apply thread queues events for it, and lags when it started in the past or did not
//! take its events in time; then a thread of the hub reads them from the store's history until it is synced again.

mod apply;
mod catchup;
mod cohort;
mod event;
mod hub;
mod intervals;
mod matcher;
mod metrics;
mod pace;
mod ports;
mod range;
mod recheck;
mod registry;
mod response;
mod session;
mod shared;
mod spec;
#[cfg(test)]
mod tests;
mod watcher;
mod writing;

use bytes::Bytes;

pub use hub::{WatchHub, WatcherHandle};
pub use ports::{Change, History, HistoryChunk, HistoryError, HubEvent, Offer, WatchSink};
pub use range::{KeyRange, KeyRangeEnd};
pub use response::WatchOutput;
pub use session::{Permission, SessionConfig, SessionWake, WatchSession};
pub use spec::{WatchSpec, Watched};

/// Why a watcher gets no more events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchEnd {
    /// The next revision it wants is compacted.
    Compacted {
        /// The compacted revision.
        compact_revision: i64,
    },
    /// The history could not be read.
    Failed(String),
}

/// What a watcher had queued.
#[derive(Debug, Default)]
pub struct Taken {
    /// Events in order; those of one revision are all here.
    pub events: Vec<TakenEvent>,
    /// There is more to take now, and there will be no wake for it.
    pub more: bool,
    /// Nothing comes after these events. Told once; the watcher must still be cancelled.
    pub end: Option<WatchEnd>,
}

impl Taken {
    /// The events by revision.
    pub fn revisions(&self) -> impl Iterator<Item = &[TakenEvent]> {
        self.events.chunk_by(|a, b| a.revision == b.revision)
    }
}

/// One event for one watcher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenEvent {
    /// Main revision of the event.
    pub revision: i64,
    /// The newest revision of the store when the event was read for its watchers: its own, unless it is of the past.
    pub store_revision: i64,
    /// The encoded mvccpb.Event, with prev_kv if the watcher asked for it.
    pub encoded: Bytes,
}

/// Figures of a hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchStats {
    /// Open streams.
    pub streams: usize,
    /// Registered watchers.
    pub watchers: usize,
    /// Those that the apply thread does not serve.
    pub lagging: usize,
    /// Events that are queued and were not taken.
    pub pending: usize,
    /// Events queued for watchers so far.
    pub events_total: u64,
    /// Bytes that queued events hold.
    pub retained_bytes: usize,
}
