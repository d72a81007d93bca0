//! Times of the log's lines.

use std::time::{Duration, Instant, SystemTime};

use crate::calendar::since_1970;

/// Makes times of day of the readings of a clock that only runs forward, by how the two stand to each other now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When nothing had passed by the forward clock.
    start: Duration,
}

impl Clock {
    /// `opened` is when the readings began.
    pub(crate) fn now(opened: Instant) -> Self {
        Self {
            start: since_1970(SystemTime::now()).saturating_sub(opened.elapsed()),
        }
    }

    #[cfg(test)]
    pub(crate) fn starting(start: Duration) -> Self {
        Self { start }
    }

    /// Time since the beginning of 1970.
    pub(crate) fn at(&self, nanoseconds: u64) -> Duration {
        self.start + Duration::from_nanos(nanoseconds)
    }
}
