//! The rule for client pings: one that comes sooner than allowed is a strike, and one strike too many ends the
//! connection. What the server sends in between wipes the strikes, as in grpc-go.

use std::time::{Duration, Instant};

use crate::limits::{IDLE_PING_INTERVAL, PING_STRIKES_MAX};

/// How often a client may ping, and how often it did too early.
#[derive(Debug)]
pub struct PingPolicy {
    interval_min: Duration,
    last: Option<Instant>,
    strikes: u32,
    sent_since: bool,
}

impl PingPolicy {
    /// With a call open the client may ping this often.
    pub fn new(interval_min: Duration) -> Self {
        Self {
            interval_min,
            last: None,
            strikes: 0,
            sent_since: false,
        }
    }

    /// The server sent HEADERS or DATA.
    #[inline]
    pub(crate) fn sent(&mut self) {
        self.sent_since = true;
    }

    /// A ping came. False: there were too many.
    #[must_use]
    pub(crate) fn ping(&mut self, now: Instant, active_calls: usize) -> bool {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.sent_since) {
            self.strikes = 0;
            return true;
        }
        let interval = if active_calls == 0 {
            IDLE_PING_INTERVAL
        } else {
            self.interval_min
        };
        if last.is_some_and(|last| last + interval > now) {
            self.strikes += 1;
        }
        self.strikes <= PING_STRIKES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_early_pings_are_too_many() {
        let start = Instant::now();
        let mut policy = PingPolicy::new(5 * SECOND);
        assert!(policy.ping(start, 1), "the first has none before it");
        assert!(policy.ping(start + SECOND, 1));
        assert!(policy.ping(start + 2 * SECOND, 1));
        assert!(!policy.ping(start + 3 * SECOND, 1));
    }

    #[test]
    fn pings_at_the_allowed_rate_are_fine() {
        let start = Instant::now();
        let mut policy = PingPolicy::new(5 * SECOND);
        assert!((0..100).all(|i| policy.ping(start + i * 5 * SECOND, 1)));
    }

    #[test]
    fn idle_connections_may_hardly_ping() {
        let start = Instant::now();
        let mut policy = PingPolicy::new(5 * SECOND);
        let fine = (0..4)
            .map(|i| policy.ping(start + i * 60 * SECOND, 0))
            .collect::<Vec<_>>();
        assert_eq!(fine, [true, true, true, false]);
    }

    #[test]
    fn answers_wipe_the_strikes() {
        let start = Instant::now();
        let mut policy = PingPolicy::new(5 * SECOND);
        for i in 0..50 {
            assert!(policy.ping(start + i * SECOND, 1));
            policy.sent();
        }
    }
}
