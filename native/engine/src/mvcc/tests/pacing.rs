//! When the flusher commits, and how a compaction goes on: what the operator says, holds.

use std::time::{Duration, Instant};

use super::kit::*;

const LONG: Duration = Duration::from_secs(3600);

/// How many values a histogram of the store has.
fn counted(kit: &Kit, name: &str) -> u64 {
    let text = kit.store.metrics();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}_count ")));
    line.expect("the metric is there").parse().unwrap()
}

fn commits(kit: &Kit) -> u64 {
    counted(kit, "etcd_disk_backend_commit_duration_seconds")
}

fn slices(kit: &Kit) -> u64 {
    let name = "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds";
    counted(kit, name)
}

fn await_commit(kit: &Kit) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while commits(kit) == 0 {
        assert!(Instant::now() < deadline, "nothing is committed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn changes_wait_for_the_interval_or_for_the_limit_of_changes() {
    let mut kit = Kit::with(|config| {
        config.batch_interval = LONG;
        config.batch_limit = Some(10);
    });
    for at in 0..9 {
        kit.set(&format!("k{at}"), "v");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(commits(&kit), 0, "nine changes wait");
    kit.set("k9", "v");
    await_commit(&kit);
}

#[test]
fn a_single_change_is_committed_after_the_interval() {
    let mut kit = Kit::with(|config| config.batch_interval = Duration::from_millis(1));
    kit.set("k", "v");
    await_commit(&kit);
}

/// 24 revisions that a compaction at 25 removes.
fn superseded(kit: &mut Kit) {
    for at in 0..25 {
        kit.set("k", &at.to_string());
    }
    kit.store.flush();
}

#[test]
fn a_slice_of_a_compaction_has_as_many_revisions_as_the_operator_says() {
    for (limit, expected) in [(10, 3), (24, 1), (1, 24), (1000, 1)] {
        let mut kit = Kit::with(|config| config.compaction_batch_limit = Some(limit));
        superseded(&mut kit);
        kit.compact_wholly(26);
        assert_eq!(slices(&kit), expected, "slices of {limit}");
    }
}

#[test]
fn a_compaction_rests_between_slices_and_what_is_put_meanwhile_is_committed() {
    let rest = Duration::from_millis(400);
    let mut kit = Kit::with(|config| {
        config.compaction_batch_limit = Some(10);
        config.compaction_sleep = rest;
        config.batch_interval = Duration::from_millis(1);
    });
    superseded(&mut kit);
    kit.compact(26).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while slices(&kit) == 0 {
        assert!(Instant::now() < deadline, "the compaction does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (began, before) = (Instant::now(), commits(&kit));
    kit.set("other", "v");
    kit.store.flush();
    assert!(commits(&kit) > before);
    kit.settle(26);
    assert_eq!(slices(&kit), 3);
    assert!(
        began.elapsed() >= rest,
        "two rests, of which a part was over"
    );
}
