//! How many streams are open, for whoever waits until none is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Counts streams of one direction. Clones count together.
#[derive(Clone, Default)]
pub struct Presence(Arc<(Mutex<usize>, Condvar)>);

/// Counts as one for as long as it lives.
pub struct Present(Presence);

impl Presence {
    pub fn enter(&self) -> Present {
        *self.0.0.lock() += 1;
        Present(self.clone())
    }

    /// Blocks until nobody is left, or the time is up.
    pub fn await_none(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let (count, left) = &*self.0;
        let mut count = count.lock();
        while *count > 0 {
            if left.wait_until(&mut count, until).timed_out() {
                return;
            }
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let (count, left) = &*self.0.0;
        *count.lock() -= 1;
        left.notify_all();
    }
}
