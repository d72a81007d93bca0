//! What the hub and its neighbours have of each other: the store offers it changes and lets it read the past, and those
//! whom it wakes take events.

use bytes::Bytes;

/// One change, as watchers get it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HubEvent {
    /// The key that was changed.
    pub key: Bytes,
    /// The encoded mvccpb.Event, without prev_kv.
    pub encoded: Bytes,
    /// What happened to the key.
    pub change: Change,
}

/// A change that is offered to the hub, and becomes an event only if somebody watches its key.
pub trait Offer {
    /// The key that was changed.
    fn key(&self) -> &[u8];
    /// The event.
    fn event(&self) -> HubEvent;
}

impl Offer for HubEvent {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn event(&self) -> HubEvent {
        self.clone()
    }
}

/// What an event did to its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A put of a key that did not exist: there is no previous value.
    Create,
    /// A put of a key that existed.
    Update,
    /// A deletion.
    Delete,
}

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
