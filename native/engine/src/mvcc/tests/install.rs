//! Another member's store takes the place of a serving one: beside readers and watchers, and across crashes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::kit::*;
use crate::error;
use crate::snapshot::{self, Outgoing, Received, SnapshotError, SnapshotInfo};
use crate::types::LogMark;
use crate::watch::{KeyRange, WatchEnd, WatchSink, WatchSpec, Watched, WatcherHandle};

/// A store that is `extra` puts ahead of one that applied `common`.
fn ahead_of(common: &[(&str, &str)], extra: usize) -> Kit {
    let mut kit = Kit::new();
    for (key, value) in common {
        kit.set(key, value);
    }
    for number in 0..extra {
        kit.set("k", &number.to_string());
    }
    kit
}

fn behind(common: &[(&str, &str)]) -> Kit {
    ahead_of(common, 0)
}

/// The source's copy as it arrives at the target.
fn send(source: &Kit, target: &Kit) -> (PathBuf, SnapshotInfo) {
    static FILES: AtomicU64 = AtomicU64::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let directory = target.dir.path().join(snapshot::DIRECTORY);
    let file = directory.join(format!("{number}.db"));
    let info = save(Outgoing::begin(&source.store).unwrap(), &file);
    (file, info)
}

fn save(mut copy: Outgoing, file: &Path) -> SnapshotInfo {
    let mut content = Vec::new();
    let mut chunk = vec![0; 10_000];
    loop {
        let read = copy.read(&mut chunk).unwrap();
        content.extend_from_slice(&chunk[..read]);
        if read < chunk.len() {
            break;
        }
    }
    assert_eq!(copy.read(&mut chunk).unwrap(), 0, "the end stays the end");
    assert!(content.len() as u64 <= copy.start().bytes_max);
    std::fs::write(file, &content).unwrap();
    copy.info()
}

pub(super) fn arrive(source: &Kit, target: &Kit) -> Received {
    let (file, info) = send(source, target);
    Received::open(&file, &info, true).unwrap()
}

const COMMON: [(&str, &str); 2] = [("a", "1"), ("b", "1")];

#[test]
fn an_installed_store_serves_at_once_and_survives_a_crash() {
    let mut source = ahead_of(&COMMON, 100);
    source.grant(7, 100).unwrap();
    let mut target = behind(&COMMON);
    target.grant(8, 50).unwrap();
    // Part of the old store's tail is never committed.
    target.set("lost", "1");
    source.set("a", "2");
    let received = arrive(&source, &target);
    assert_eq!(received.applied(), source.mark());
    assert_eq!(received.install(&target.store).unwrap(), source.mark());
    target.index = source.index;
    assert_eq!(target.all(0).unwrap(), source.all(0).unwrap());
    assert_eq!(target.all(3).unwrap(), ["a=1", "b=1"]);
    let hash = |kit: &Kit| kit.store.hash_kv(0).unwrap().hash;
    assert_eq!(hash(&target), hash(&source));
    assert!(target.store.leases().contains(7) && !target.store.leases().contains(8));
    assert_eq!(target.told.flushed.lock().last(), Some(&source.mark()));
    let revision = source.set("c", "1");
    assert_eq!(target.set("c", "1"), revision);
    target.store.flush();
    let target = target.crash();
    assert_eq!(target.recovered.installed.index, source.index - 1);
    assert_eq!(target.all(0).unwrap(), source.all(0).unwrap());
    assert_eq!(hash(&target), hash(&source));
}

#[test]
fn a_crash_between_any_two_steps_leaves_the_old_store_or_the_new_one() {
    let source = ahead_of(&COMMON, 20);
    let target = behind(&COMMON);
    target.store.flush();
    let old = target.all(0).unwrap();
    let dir = target.dir.path().to_owned();
    let snap = dir.join(snapshot::DIRECTORY);
    let state = |dir: &std::path::Path| {
        let kit = Kit::copy_of(dir);
        let left = std::fs::read_dir(kit.dir.path().join(snapshot::DIRECTORY)).unwrap();
        assert_eq!(left.count(), 0, "what was left is removed");
        (kit.all(0).unwrap(), kit.recovered.installed)
    };
    // A part of the file; all of it; checked and marked; in place.
    let (file, info) = send(&source, &target);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(snap.join("cut.part"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(state(&dir), (old.clone(), LogMark::default()));
    let received = Received::open(&file, &info, true).unwrap();
    assert_eq!(state(&dir), (old, LogMark::default()));
    received.install(&target.store).unwrap();
    assert_eq!(state(&dir), (source.all(0).unwrap(), source.mark()));
}

#[test]
fn a_received_file_that_is_not_what_was_said_is_refused_and_removed() {
    let source = ahead_of(&COMMON, 3);
    let target = behind(&COMMON);
    let (file, info) = send(&source, &target);
    let mut content = std::fs::read(&file).unwrap();
    content[9000] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let refused = Received::open(&file, &info, true);
    assert!(matches!(refused, Err(SnapshotError::Damaged { .. })));
    assert!(!file.exists());
    let missing = Received::open(&file, &info, true);
    assert!(matches!(missing, Err(SnapshotError::Io { .. })));
    let (file, info) = send(&source, &target);
    let wrong = SnapshotInfo {
        applied: LogMark { index: 99, term: 9 },
        ..info
    };
    let refused = Received::open(&file, &wrong, true);
    assert!(matches!(
        refused,
        Err(SnapshotError::OtherEntry {
            found: 5,
            expected: 99,
            ..
        })
    ));
    let dropped = arrive(&source, &target);
    drop(dropped);
    let left = std::fs::read_dir(file.parent().unwrap()).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_copy_stands_where_it_began_whatever_is_committed_while_it_is_read() {
    let mut source = ahead_of(&COMMON, 5000);
    let target = behind(&COMMON);
    let (old, mark) = (source.all(0).unwrap(), source.mark());
    let copy = Outgoing::begin(&source.store).unwrap();
    for number in 0..1000 {
        source.set("k", &format!("later {number}"));
    }
    source.store.flush();
    assert_eq!(copy.start().applied, mark);
    let file = target.dir.path().join(snapshot::DIRECTORY).join("old.db");
    let info = save(copy, &file);
    let received = Received::open(&file, &info, true).unwrap();
    received.install(&target.store).unwrap();
    assert_eq!(target.all(0).unwrap(), old);
}

#[test]
fn copies_beside_commits_hold_what_they_say() {
    let source = ahead_of(&COMMON, 3000);
    let target = behind(&COMMON);
    let stop = AtomicBool::new(false);
    let store = Arc::clone(&source.store);
    let opened: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut source = source;
            while !stop.load(Ordering::SeqCst) {
                source.set("k", "v");
                source.store.flush();
            }
        });
        let directory = target.dir.path().join(snapshot::DIRECTORY);
        let opened = (0..20).map(|number| {
            let file = directory.join(format!("beside-{number}.db"));
            let info = save(Outgoing::begin(&store).unwrap(), &file);
            Received::open(&file, &info, true)
        });
        let opened = opened.collect();
        stop.store(true, Ordering::SeqCst);
        opened
    });
    // Opening compares the entry in the file with the one that was said.
    for received in opened {
        received.unwrap();
    }
}

#[test]
fn a_copy_that_nobody_reads_to_its_end_is_given_up() {
    let mut source = ahead_of(&COMMON, 3000);
    source.store.flush();
    // One snapshot of this commit is kept for the next reader.
    let idle = source.store.between_commits(|tree| {
        drop(tree.snapshot().unwrap());
        tree.open_reads()
    });
    let mut copy = Outgoing::begin(&source.store).unwrap();
    assert_eq!(copy.read(&mut [0; 5000]).unwrap(), 5000);
    drop(copy);
    drop(Outgoing::begin(&source.store).unwrap());
    let reads = || source.store.between_commits(|tree| tree.open_reads());
    let deadline = Instant::now() + Duration::from_secs(20);
    while reads() > idle {
        assert!(Instant::now() < deadline, "a copy goes on");
        std::thread::yield_now();
    }
    source.set("a", "2");
    let target = behind(&COMMON);
    let received = arrive(&source, &target);
    received.install(&target.store).unwrap();
    assert_eq!(target.all(0).unwrap(), source.all(0).unwrap());
}

#[test]
fn readers_of_the_old_store_go_on_in_the_new_one_or_end_with_the_compacted_error() {
    let mut source = ahead_of(&COMMON, 50);
    let target = behind(&COMMON);
    let kept = target.store.pin(3).unwrap();
    let lost = target.store.pin(2).unwrap();
    source.compact(3).unwrap();
    source.store.flush();
    arrive(&source, &target).install(&target.store).unwrap();
    assert!(lost.is_broken() && !kept.is_broken());
    assert_eq!(target.all(3).unwrap(), ["a=1", "b=1"]);
    assert_eq!(target.all(2).unwrap_err(), error::COMPACTED);
}

#[test]
fn concurrent_reads_see_one_store_or_the_other() {
    let source = ahead_of(&COMMON, 3000);
    let target = behind(&COMMON);
    let (old, new) = (target.all(0).unwrap(), source.all(0).unwrap());
    let received = arrive(&source, &target);
    let stop = Arc::new(AtomicBool::new(false));
    let store = Arc::clone(&target.store);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (stop, target) = (Arc::clone(&stop), &target);
                let (old, new) = (&old, &new);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !stop.load(Ordering::SeqCst) || reads == 0 {
                        let seen = target.all(0).unwrap();
                        assert!(seen == *old || seen == *new);
                        reads += 1;
                    }
                    assert_eq!(target.all(0).unwrap(), *new);
                })
            })
            .collect();
        received.install(&store).unwrap();
        stop.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Says which watcher has something to take.
struct Bell(crossbeam_channel::Sender<u64>);

impl WatchSink for Bell {
    fn wake(&self, watch_key: u64) {
        // The test may have ended.
        let _ = self.0.send(watch_key);
    }
}

#[test]
fn watchers_get_what_is_between_from_the_new_history_or_learn_that_it_is_compacted() {
    let mut source = ahead_of(&COMMON, 0);
    let mut target = behind(&COMMON);
    let (bell, rings) = crossbeam_channel::unbounded();
    let bell = Arc::new(Bell(bell));
    let watch = |target: &Kit, start_revision: i64| {
        let spec = WatchSpec {
            watched: Watched::all_of(KeyRange::from_wire(b"k", b"").unwrap()),
            start_revision,
        };
        let hub = target.store.watch_hub();
        hub.register(spec, bell.clone(), start_revision as u64)
    };
    let live = watch(&target, 0);
    let future = watch(&target, 20);
    for number in 0..30 {
        source.set("k", &number.to_string());
    }
    arrive(&source, &target).install(&target.store).unwrap();
    target.index = source.index;
    target.set("k", "after");
    let take = |watcher: &WatcherHandle, last: i64| {
        let mut seen = Vec::new();
        while seen.last() != Some(&last) {
            let taken = target.store.watch_hub().take(watcher, usize::MAX);
            assert!(taken.end.is_none());
            seen.extend(taken.events.iter().map(|event| event.revision));
            if seen.last() != Some(&last) {
                rings
                    .recv_timeout(std::time::Duration::from_secs(60))
                    .expect("a wake");
            }
        }
        seen
    };
    assert_eq!(take(&live, 34), (4..=34).collect::<Vec<_>>());
    assert_eq!(take(&future, 34), (20..=34).collect::<Vec<_>>());
    // The next store has forgotten what a live watcher would need.
    let mut later = Kit::copy_of(source.dir.path());
    drop(source);
    for number in 0..30 {
        later.set("k", &number.to_string());
    }
    later.compact(later.store.revision()).unwrap();
    later.store.flush();
    arrive(&later, &target).install(&target.store).unwrap();
    loop {
        let taken = target.store.watch_hub().take(&live, usize::MAX);
        if let Some(end) = taken.end {
            let compact_revision = later.store.revision();
            assert_eq!(end, WatchEnd::Compacted { compact_revision });
            break;
        }
        rings
            .recv_timeout(std::time::Duration::from_secs(60))
            .expect("a wake");
    }
}
