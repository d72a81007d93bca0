//! What the pipeline's lock guards.

use super::batcher::Batcher;
use super::grants::Grants;
use crate::types::LogMark;

/// One lock for all of it, so that the order of closed batches is the order of the log.
pub(super) struct State {
    pub batcher: Batcher,
    pub grants: Grants,
    /// The last entry given to the WAL.
    pub last: LogMark,
}

impl State {
    /// Nothing waits; `last` is the last entry of the log.
    pub fn new(last: LogMark) -> Self {
        Self {
            batcher: Batcher::default(),
            grants: Grants::default(),
            last,
        }
    }
}
