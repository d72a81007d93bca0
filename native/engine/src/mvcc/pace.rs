//! The pauses of a thread that computes for long.

use std::time::Instant;

use crate::limits::{COMPACTION_COMPUTE, COMPACTION_PAUSE};

/// Lets go of the core now and then: a thread that computes without a break delays those that a put waits for by its
/// whole time slice. A pause lasts until the others let this thread go on, which can be long; hence not too many.
pub(super) struct Pace {
    computes_since: Instant,
}

impl Pace {
    /// It computes from now on.
    pub fn new() -> Self {
        Self {
            computes_since: Instant::now(),
        }
    }

    /// A step is done: pauses if it is time to.
    pub fn step(&mut self) {
        if self.computes_since.elapsed() >= COMPACTION_COMPUTE {
            std::thread::sleep(COMPACTION_PAUSE);
            self.computes_since = Instant::now();
        }
    }
}
