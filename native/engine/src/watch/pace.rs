//! How the catch-up thread leaves room for writes. What it reads costs the stream's worker and the client's machine as
//! much again as this thread, and niceness is no help against that.

use std::time::{Duration, Instant};

use crate::limits::{WATCH_REST_MAX, WATCH_RESTS, WATCH_WRITES_QUIET};

pub(super) struct Pace {
    /// The newest revision at the last look, and when it was found to be another than before.
    current: i64,
    written: Option<Instant>,
}

impl Pace {
    pub const fn new() -> Self {
        Self {
            current: 0,
            written: None,
        }
    }

    /// How long to rest after a walk that took `walk` and read so many revisions, when `current` is the newest revision
    /// and so many watchers wait. While there are writes, but fewer than half of what was read: the length of the
    /// walk, several times unless more watchers wait.
    pub fn rest_after(
        &mut self,
        walk: Duration,
        read: i64,
        current: i64,
        hungry: usize,
        now: Instant,
    ) -> Duration {
        let written = current - std::mem::replace(&mut self.current, current);
        if written > 0 {
            self.written = Some(now);
        }
        let quiet = |at: Instant| now - at > WATCH_WRITES_QUIET;
        if self.written.is_none_or(quiet) || written > read / 2 {
            return Duration::ZERO;
        }
        let waiting = u32::try_from(hungry).unwrap_or(u32::MAX);
        (walk * WATCH_RESTS / waiting.max(1)).min(WATCH_REST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALK: Duration = Duration::from_millis(2);
    const READ: i64 = 1000;

    /// A pace that saw revision 100 just now, and when that was.
    fn after_writes() -> (Pace, Instant) {
        let (mut pace, now) = (Pace::new(), Instant::now());
        pace.rest_after(WALK, READ, 100, 1, now);
        (pace, now)
    }

    #[test]
    fn rests_for_several_walks_beside_a_few_writes() {
        let (mut pace, now) = after_writes();
        assert_eq!(pace.rest_after(WALK, READ, 101, 1, now), WALK * WATCH_RESTS);
        assert_eq!(
            pace.rest_after(WALK, READ, 101, 0, now),
            WALK * WATCH_RESTS,
            "none since the last look, but some just before"
        );
    }

    #[test]
    fn rests_less_the_more_watchers_wait() {
        let (mut pace, now) = after_writes();
        assert_eq!(
            pace.rest_after(WALK, READ, 101, 6, now),
            WALK * WATCH_RESTS / 6
        );
    }

    #[test]
    fn no_rest_is_longer_than_the_limit() {
        let (mut pace, now) = after_writes();
        let rest = pace.rest_after(WATCH_REST_MAX, READ, 101, 1, now);
        assert_eq!(rest, WATCH_REST_MAX);
    }

    #[test]
    fn a_thread_that_falls_behind_does_not_rest() {
        let (mut pace, now) = after_writes();
        let half = READ / 2;
        let rest = pace.rest_after(WALK, READ, 100 + half, 1, now);
        assert_eq!(rest, WALK * WATCH_RESTS, "half of what was read");
        let rest = pace.rest_after(WALK, READ, 100 + half + half + 1, 1, now);
        assert_eq!(rest, Duration::ZERO, "more than half");
    }

    #[test]
    fn without_writes_there_is_no_rest() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        assert_eq!(pace.rest_after(WALK, READ, 0, 1, now), Duration::ZERO);
        let (mut written, then) = after_writes();
        let later = then + WATCH_WRITES_QUIET;
        assert!(written.rest_after(WALK, READ, 100, 1, later) > Duration::ZERO);
        let later = later + Duration::from_millis(1);
        assert_eq!(
            written.rest_after(WALK, READ, 100, 1, later),
            Duration::ZERO
        );
    }
}
