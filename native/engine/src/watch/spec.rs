//! What a watcher asks for.

use super::ports::Change;
use super::range::KeyRange;

/// What is watched and how it is told: watchers that agree in it differ in their start only, and may share a queue.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Watched {
    /// The keys.
    pub range: KeyRange,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletions.
    pub no_delete: bool,
    /// Send each event with the key-value that it replaced.
    pub prev_kv: bool,
}

impl Watched {
    /// Every change of the keys, without what it replaced.
    pub const fn all_of(range: KeyRange) -> Self {
        Self {
            range,
            no_put: false,
            no_delete: false,
            prev_kv: false,
        }
    }

    /// Whether a change of this kind is told.
    pub const fn wants(&self, change: Change) -> bool {
        match change {
            Change::Delete => !self.no_delete,
            Change::Create | Change::Update => !self.no_put,
        }
    }
}

/// A watcher before it is registered.
#[derive(Clone, Debug)]
pub struct WatchSpec {
    /// What it watches.
    pub watched: Watched,
    /// The first revision to be told of; 0 is "from now on".
    pub start_revision: i64,
}
