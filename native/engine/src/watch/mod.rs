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
mod range;
mod registry;
mod response;
mod session;
mod spec;
#[cfg(test)]
mod tests;
mod watcher;
mod writing;

use bytes::Bytes;

pub use event::{Change, HubEvent, Offer};
pub use hub::{WatchHub, WatcherHandle};
pub use range::{KeyRange, KeyRangeEnd};
pub use response::WatchOutput;
pub use session::{Permission, SessionConfig, SessionWake, WatchSession};
pub use spec::{WatchSpec, Watched};

/// Whom the hub wakes.
pub trait WatchSink: Send + Sync {
    /// There is something to take for the watcher that was registered with `watch_key`. Not called again until the
    /// watcher has been taken from. Called from the apply thread with the hub locked: must not block nor call the hub.
    fn wake(&self, watch_key: u64);
}

/// The store's past, as lagging watchers need it. Called from the hub's thread, and `previous` from those who take.
pub trait History: Send + Sync {
    /// The compacted revision; no revision below it may be asked for. It moves before anything is removed.
    fn compact_revision(&self) -> i64;

    /// The events of the revisions `from..=to`, whose keys `wanted` accepts, in order. Stops after a whole revision
    /// when about `max_bytes` of key-values were read, wanted or not. Reads at least one revision.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError>;

    /// The encoded mvccpb.KeyValue that `key` had before `revision`; `None` if it had none or it is compacted.
    fn previous(&self, key: &[u8], revision: i64) -> Option<Bytes>;
}

/// A part of the history.
#[derive(Debug, Default)]
pub struct HistoryChunk {
    /// Main revisions and events, in order.
    pub events: Vec<(i64, HubEvent)>,
    /// The first revision that was not read.
    pub next: i64,
}

/// Why the history could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HistoryError {
    /// `from` is below the compacted revision.
    #[error("the revision is compacted")]
    Compacted,
    /// The store failed.
    #[error("reading the history failed: {0}")]
    Failed(String),
}

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
