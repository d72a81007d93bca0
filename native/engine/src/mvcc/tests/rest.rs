//! The rest between two commits of a compaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::kit::*;
use crate::limits::COMPACTION_BATCH_FACTOR;

const HOUR: Duration = Duration::from_secs(3600);

/// Whether a compaction of more than two commits is done after several commits of the store.
fn is_done_soon(sleep: Duration) -> bool {
    let mut kit = Kit::resting(sleep);
    for _ in 0..=3 * COMPACTION_BATCH_FACTOR {
        kit.set("k", "v");
    }
    let newest = kit.store.revision();
    kit.compact(newest).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let tell = move || told.store(true, Ordering::Relaxed);
    kit.store.on_compacted(newest, Box::new(tell));
    // Each returns when there were two commits, so the store does not wait for the compaction.
    for _ in 0..10 {
        kit.set("other", "v");
        kit.store.flush();
    }
    done.load(Ordering::Relaxed)
}

#[test]
fn a_compaction_rests_as_long_as_it_was_told_and_commits_go_on() {
    assert!(is_done_soon(Duration::ZERO));
    assert!(!is_done_soon(HOUR));
}
