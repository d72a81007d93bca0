//! Tests of the hub and of sessions on it, by subject, over one fake store.

mod clients;
mod cohorts;
mod crowds;
mod hub;
mod progress;
mod random;
mod recheck;
mod session;
mod store;
mod stream;
mod turns;
mod walks;

use std::time::{Duration, Instant};

use super::WatchHub;

/// Past this a wake was lost: the tests wait for events, never for time.
const STUCK: Duration = Duration::from_secs(60);

/// After the last watcher is cancelled. The catch-up thread may still be reading what that watcher did not want, and
/// lets go of it when its walk ends.
fn expect_nothing_retained(hub: &WatchHub) {
    let deadline = Instant::now() + STUCK;
    loop {
        let stats = hub.stats();
        assert_eq!(stats.watchers, 0);
        if stats.retained_bytes == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "bytes stay: {stats:?}");
        std::thread::yield_now();
    }
}
